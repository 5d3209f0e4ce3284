"""Chooses a model's class names: a person's own, the checkpoint's, well-known ones, or numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from core.errors import LabelsError
from core.inputs import FROM_CHECKPOINT
from core.predict.labels.known_labels import known_labels
from core.predict.labels.labels import Labels
from core.predict.labels.name_lists import MACHINE_ID
from core.predict.labels.stated_names import HasMetadata, StatedClasses, StatedNames, stated_classes
from core.wording import counted, listed

BACKGROUND = ", so one may be a background class, and the file does not say which"
"""What a list with one name too few suggests. Nothing is shifted by a guess."""


PREVIEWED = 3
"""Names by which a person knows a list."""


def choose_labels(
    outputs: int,
    checkpoint: HasMetadata | None = None,
    uploaded: Sequence[str] | None = None,
    uploaded_name: str = "your list",
    stated: str = "",
) -> Labels:
    """The names for a model with that many outputs; 0 where no image reached the model.

    They are the person's own, else the checkpoint's, else well-known ones for that many outputs,
    else numbers. `stated` is the path of the checkpoint's list that a person chose, of those that
    `label_choices` offers; without it, lists that differ give numbers, and `source` says so. A
    checkpoint's list of another length, or without an order, is ignored, and `source` says so.
    Raises LabelsError if the person's own list has another length, or `stated` is not there.
    """
    if not outputs:
        return Labels((), "none, because no image reached the model", guessed=True)
    if uploaded is not None:
        return _own(outputs, uploaded, uploaded_name)
    classes = stated_classes(checkpoint) if checkpoint is not None else StatedClasses((), ())
    choices = _fitting(outputs, classes)
    if stated:
        choices = _chosen(choices, stated)
    if len(choices) == 1:
        return Labels(choices[0].names, _source(choices[0]))
    if choices:
        paths = listed([each.path for each in choices])
        return _numbers(outputs, f"since the checkpoint's {paths} differ: choose one")
    remark = _remark(outputs, classes)
    known = known_labels(outputs)
    if known is not None:
        sources = [f"guessed: {known.whose}, as there are {outputs:,} outputs", remark]
        return Labels(known.names, "; ".join(filter(None, sources)), guessed=True)
    if remark and not classes.lists:
        return _numbers(outputs, f"since {remark}")
    return _numbers(outputs, "; ".join(filter(None, ["since no names are known", remark])))


def label_choices(outputs: int, checkpoint: HasMetadata) -> tuple[StatedNames, ...]:
    """The checkpoint's lists for that many outputs where they name the classes differently, so that
    a person must choose; else none."""
    choices = _fitting(outputs, stated_classes(checkpoint))
    return choices if len(choices) > 1 else ()


def labels_in(checkpoint: HasMetadata) -> tuple[str, ...] | None:
    """The first list of class names in a checkpoint itself, or None."""
    lists = stated_classes(checkpoint).lists
    return next((each.names for each in lists if not each.file), None)


def names_preview(names: Sequence[str]) -> str:
    """The first names of a list, for a choice between lists: `cat, dog, hen, …`."""
    return ", ".join([*names[:PREVIEWED], *(["…"] if len(names) > PREVIEWED else [])])


def _source(stated: StatedNames) -> str:
    order = f" {stated.order}" if stated.order else ""
    if stated.file:
        return f"{stated.path} in {stated.file} beside the checkpoint{order}"
    return f"{FROM_CHECKPOINT} {stated.path}{order}"


def _own(outputs: int, uploaded: Sequence[str], name: str) -> Labels:
    if len(uploaded) == outputs:
        return Labels(tuple(uploaded), name)
    raise LabelsError(
        f"{name} has {counted(len(uploaded), 'name')}, the model has {counted(outputs, 'output')}.",
        "One output may be a background class: give a list with a name for it, in its place."
        if len(uploaded) == outputs - 1
        else "Give a list with one name for each output, in the order of training.",
    )


def _numbers(outputs: int, why: str) -> Labels:
    names = tuple(f"class {index}" for index in range(outputs))
    return Labels(names, f"numbers, {why}", guessed=True, numbered=True)


def _fitting(outputs: int, classes: StatedClasses) -> tuple[StatedNames, ...]:
    """The lists with a name for each output, each different one once.

    Lists of ids or digits, such as an ImageFolder's, are left out beside one of words.
    """
    lists = [each for each in classes.lists if len(each.names) == outputs]
    words = [each for each in lists if not all(map(_is_id, each.names))] or lists
    different: dict[tuple[str, ...], StatedNames] = {}
    for each in words:
        different.setdefault(tuple(map(_plain, each.names)), each)
    return tuple(different.values())


def _is_id(name: str) -> bool:
    return name.isdigit() or MACHINE_ID.fullmatch(name) is not None


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _chosen(choices: Sequence[StatedNames], path: str) -> tuple[StatedNames, ...]:
    chosen = tuple(each for each in choices if each.path == path)
    if not chosen:
        paths = listed([each.path for each in choices]) or "none"
        raise LabelsError(
            f"The checkpoint has no list of names for the model's outputs in {path}.",
            f"Its lists for them are: {paths}.",
        )
    return chosen


def _remark(outputs: int, classes: StatedClasses) -> str:
    """What a checkpoint says of its classes, where that names no output; may be empty."""
    if not classes.lists:
        return f"the checkpoint's {classes.problems[0]}" if classes.problems else ""
    first = classes.lists[0]
    path, number = first.path, len(first.names)
    background = BACKGROUND if number == outputs - 1 else ""
    have = f"{path} has {counted(number, 'name')}, the model {counted(outputs, 'output')}"
    return f"{first.file or 'the checkpoint'}'s {have}{background}"
