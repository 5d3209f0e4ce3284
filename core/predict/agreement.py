"""Whether two models say the same of the same images, and what the predictions say at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from core.predict.labels import Labels
from core.predict.prediction import Prediction
from core.wording import count, counted, listed, percent


@dataclass(frozen=True, slots=True)
class SharedClasses:
    """Which class of one model is which of another.

    `keys` has for each model what each of its classes is called when they are compared: two classes
    are the same if they are called the same. `obstacle` is a sentence if no class of one can be
    compared with one of the other, `note` one on how they are compared where that needs saying.
    """

    keys: Mapping[str, Sequence[Hashable]]
    obstacle: str = ""
    note: str = ""


def shared_classes(labels: Mapping[str, Labels]) -> SharedClasses:
    """The classes of one model or of two, by the model's name on screen, such as `A`.

    They are compared by name, since two models may order their classes differently; and by index
    where the names of one are not known, if both have as many.
    """
    keys: dict[str, Sequence[Hashable]] = {name: _names(each) for name, each in labels.items()}
    if len(labels) < 2 or not all(each.names for each in labels.values()):
        return SharedClasses(keys)
    (a, labels_a), (b, labels_b) = labels.items()
    numbered = [name for name, each in labels.items() if each.numbered]
    if not numbered:
        common = len(set(keys[a]) & set(keys[b]))
        if not common:
            return SharedClasses(keys, f"{a} and {b} have no class name in common.")
        if common == len(labels_a.names) == len(labels_b.names):
            return SharedClasses(keys)
        names = counted(common, "name")
        return SharedClasses(
            keys, note=f"Classes are compared by name: {a} and {b} have {names} in common."
        )
    number_a, number_b = len(labels_a.names), len(labels_b.names)
    if number_a != number_b:
        return SharedClasses(
            keys,
            f"{a} has {counted(number_a, 'class')} and {b} has {count(number_b)}, and the names "
            f"of {_whose(numbered)} are not known.",
        )
    by_index: dict[str, Sequence[Hashable]] = {name: range(number_a) for name in labels}
    return SharedClasses(
        by_index,
        note=f"Classes are compared by index, as the names of {_whose(numbered)} are not known.",
    )


def _whose(names: Sequence[str]) -> str:
    return "both" if len(names) > 1 else f"{names[0]}’s"


def _names(labels: Labels) -> list[tuple[str, int]]:
    """Each name with how many classes before it have the same one.

    Many lists of ImageNet's classes have two cranes, a bird and a machine.
    """
    before: Counter[str] = Counter()
    names = []
    for label in labels.names:
        names.append((label, before[label]))
        before[label] += 1
    return names


def agreement(
    predictions: Mapping[str, Sequence[Prediction]], classes: SharedClasses
) -> tuple[bool | None, ...]:
    """Of each image, whether the most probable classes of two models are the same.

    None where a model has no answer, where the classes cannot be compared, and for one model alone.
    """
    if classes.obstacle or len(predictions) < 2:
        return (None,) * len(next(iter(predictions.values())))
    tops = [
        [classes.keys[name][each.indices[0]] if each.indices else None for each in row]
        for name, row in predictions.items()
    ]
    return tuple(None if None in both else both[0] == both[1] for both in zip(*tops, strict=True))


def differing_first(same: Sequence[bool | None]) -> tuple[int, ...]:
    """The places of the images: those that differ first, then those without an answer, then the
    others, each in the order given."""
    return tuple(sorted(range(len(same)), key=lambda place: _RANK[same[place]]))


_RANK = {False: 0, None: 1, True: 2}


def predictions_verdict(
    predictions: Mapping[str, Sequence[Prediction]],
    labels: Mapping[str, Labels],
    classes: SharedClasses,
) -> str:
    """What one model says of the images, or on how many of them two agree, in one sentence."""
    who = listed([*predictions], len(predictions))
    rows = list(predictions.values())
    total = len(rows[0])
    answered = sum(all(each.indices for each in image) for image in zip(*rows, strict=True))
    if len(rows) == 1:
        if total == answered == 1:
            ((name, (only,)),) = predictions.items()
            share = percent(only.probabilities[0], decimal=True)
            return f"{who} says {labels[name].names[only.indices[0]]}, {share}"
        return f"{who} predicted {_of(answered, total)}"
    if classes.obstacle:
        return f"{who} predicted {_of(answered, total)}; their classes cannot be compared"
    text = f"{who} agree on {_of(agreement(predictions, classes).count(True), total)}"
    return text if answered == total else f"{text}; {_of(answered, total)} could be compared"


def _of(number: int, total: int) -> str:
    return f"{count(number)} of {counted(total, 'image')}"
