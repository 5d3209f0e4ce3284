"""Whether two models say the same of the same images, and what the predictions say at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from core.predict.answer_words import answer_summary
from core.predict.answers import EXCLUSIVE, SCORED, THRESHOLD, AnswerKind
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
    """Of each image, whether two models answer the same.

    That is the most probable class, all labels that count, or the side of the threshold on which a
    score is. None where a model has no such answer, where the classes cannot be compared, and for
    one model alone.
    """
    if classes.obstacle or len(predictions) < 2:
        return (None,) * len(next(iter(predictions.values())))
    said = [[_said(each, classes.keys[name]) for each in row] for name, row in predictions.items()]
    return tuple(
        None if a is None or b is None or a[0] != b[0] else a == b
        for a, b in zip(*said, strict=True)
    )


def _said(prediction: Prediction, keys: Sequence[Hashable]) -> tuple[str, Hashable] | None:
    """How an answer is compared, and what it is then; None if there is none."""
    if not prediction.indices:
        return None
    if prediction.kind in EXCLUSIVE:
        return "class", keys[prediction.indices[0]]
    pairs = zip(prediction.indices, prediction.probabilities, strict=True)
    given = frozenset(keys[index] for index, share in pairs if share >= THRESHOLD)
    return prediction.kind, given


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
    answered = sum(all(_answers(each) for each in image) for image in zip(*rows, strict=True))
    if len(rows) == 1:
        if total == answered == 1:
            ((name, (only,)),) = predictions.items()
            return f"{who} {_only(only, labels[name].names)}"
        return f"{who} {_does(rows[0])} {_of(answered, total)}"
    kinds = {_kind(row) for row in rows}
    if not kinds <= SCORED:
        if len(kinds) == 1:
            return f"{who} {DO[_kind(rows[0])]} {_of(answered, total)}"
        return " and ".join(
            f"{name} {_does(row)} {_of(sum(map(_answers, row)), total)}"
            for name, row in predictions.items()
        )
    if len(kinds) > 1 and not kinds <= EXCLUSIVE:
        return f"{who} predicted {_of(answered, total)}; their answers are of two kinds"
    if classes.obstacle:
        return f"{who} predicted {_of(answered, total)}; their classes cannot be compared"
    text = f"{who} agree on {_of(agreement(predictions, classes).count(True), total)}"
    return text if answered == total else f"{text}; {_of(answered, total)} could be compared"


def _answers(prediction: Prediction) -> bool:
    """Whether there is an answer to this image, of whatever kind."""
    answer = prediction.answer
    return bool(prediction.indices) if answer is None else answer.value is not None


def _kind(row: Sequence[Prediction]) -> AnswerKind:
    """The kind of a model's answers: that of the first image that it was run on."""
    return next((each.kind for each in row if each.heads), "classes")


def _only(prediction: Prediction, names: Sequence[str]) -> str:
    """What a model says of the one image, with the verb."""
    answer = prediction.answer
    if answer is None:
        share = percent(prediction.probabilities[0], decimal=True)
        return f"says {names[prediction.indices[0]]}, {share}"
    return f"{VERBS.get(answer.kind, 'says')} {answer_summary(answer, names)}"


VERBS: Mapping[AnswerKind, str] = {
    "score": "gives",
    "embedding": "gives",
    "boxes": "finds",
    "pixels": "sees",
    "map": "gives",
    "tree": "returns",
}
"""The verb before what a model says of one image; `says` for classes and labels."""


def _does(row: Sequence[Prediction]) -> str:
    return DOES.get(_kind(row), "predicted")


DOES: Mapping[AnswerKind, str] = {
    "labels": "labels",
    "score": "gives a score to",
    "embedding": "gives an embedding of",
    "boxes": "looks for objects in",
    "pixels": "gives each pixel a class in",
    "map": "gives each pixel a value in",
    "tree": "returns tensors for",
}
"""What a model does to several images; `predicted` for classes."""

DO: Mapping[AnswerKind, str] = {
    "embedding": "give an embedding of",
    "boxes": "look for objects in",
    "pixels": "give each pixel a class in",
    "map": "give each pixel a value in",
    "tree": "return tensors for",
}
"""What two models do to several images, where their answers are not compared."""


def _of(number: int, total: int) -> str:
    return f"{count(number)} of {counted(total, 'image')}"
