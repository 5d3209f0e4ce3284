"""Sets an architecture's options, among them the number of classes that a checkpoint has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.architectures import Signature
from core.checkpoint import StateDict, TensorEntry
from core.fit.proposals.option_hints import last_weight
from core.fit.proposals.renamings import best_renamings
from core.fit.proposals.tried import after

if TYPE_CHECKING:
    from core.architectures import Architecture


from dataclasses import replace

from core.architectures import (
    MAX_OPTION,
    OTHER_CLASSES,
    TIMM,
    Architecture,
    Shape,
    Value,
    options_of,
    signature,
    squeezed,
)
from core.errors import ArchitectureError
from core.keys import names_projected_outputs


def with_option(architecture: Architecture, option: str, value: Value | None) -> Architecture:
    """The architecture with one option set; None leaves the option at its default."""
    options = {name: old for name, old in architecture.options if name != option}
    if value is not None:
        options[option] = value
    return replace(architecture, options=tuple(sorted(options.items())))


def with_classes(architecture: Architecture, state_dict: StateDict) -> Architecture:
    """The architecture with as many classes as the state_dict's head; unchanged if unknown."""
    classes = classes_in(state_dict, architecture)
    return architecture if classes is None else with_option(architecture, "num_classes", classes)


def classes_in(state_dict: StateDict, architecture: Architecture) -> int | None:
    """How many classes the state_dict's head has.

    None if that is unknown, or if the architecture has no option `num_classes`.
    """
    try:
        if "num_classes" not in options_of(architecture):
            return None
        heads = () if architecture.library == TIMM else _class_heads(architecture)
        classes = (
            _classes_of(heads, state_dict)
            if heads
            else propose_num_classes(state_dict, architecture)
        )
    except ArchitectureError:
        return None
    return classes if classes is not None and 0 < classes <= MAX_OPTION else None


def _class_heads(architecture: Architecture) -> tuple[tuple[str, int], ...]:
    """The weights whose number of rows depends on the classes, as (key, rows for each class).

    Empty for a classifier: its last layer has one row for each class, and needs no table.
    """
    # Found by a second build with other classes. In a detector the last layer is often the one for
    # the boxes, and a class has one row for each anchor, so neither its place nor its rows say it.
    plain = with_option(architecture, "num_classes", None)
    base = signature(plain)
    other = signature(with_option(plain, "num_classes", OTHER_CLASSES))
    heads = tuple(
        (key, spec.shape[0] // OTHER_CLASSES)
        for key, spec in other.items()
        if key.endswith("weight") and key in base and spec.shape[0] != base[key].shape[0]
    )
    last = [key for key in base if key.endswith("weight")][-1:]
    return () if heads[-1:] == tuple((key, 1) for key in last) else heads


def _classes_of(heads: tuple[tuple[str, int], ...], state_dict: StateDict) -> int | None:
    """The number of classes by the first head that is in the file, with or without a prefix."""
    for head, rows in heads:
        for key, entry in state_dict.items():
            if (key == head or key.endswith(f".{head}")) and entry.shape:
                return entry.shape[0] // rows if entry.shape[0] % rows == 0 else None
    return None


def other_classes(state_dict: StateDict, architecture: Architecture) -> int | None:
    """How many classes the state_dict's head has, if the architecture has another number now.

    None if both have the same number, or if the number is unknown.
    """
    classes = classes_in(state_dict, architecture)
    if classes is None or dict(architecture.options).get("num_classes") == classes:
        return None
    try:
        wanted = signature(with_option(architecture, "num_classes", classes))
        return None if wanted == signature(architecture) else classes
    except ArchitectureError:
        return None


def propose_num_classes(
    state_dict: StateDict, architecture: Architecture | Signature
) -> int | None:
    """How many classes the file's head has, or None if it has no head.

    The head is the architecture's last layer, looked up by its key, then by its key after the best
    renaming. Else it is the file's last layer, projections left aside, if it takes as many inputs
    as the architecture's. Raises ArchitectureError.
    """
    wanted = _signature(architecture)
    head = last_weight(wanted)
    if head is None:
        return None
    entry = state_dict.get(head) or _entry_after_renaming(head, state_dict, wanted)
    if entry is not None and len(entry.shape) == len(wanted[head].shape):
        return entry.shape[0]
    return _rows_of_last_layer(state_dict, wanted[head].shape)


def _signature(architecture: Architecture | Signature) -> Signature:
    if isinstance(architecture, Mapping):
        return architecture
    from core.architectures import signature

    return signature(architecture)


def _entry_after_renaming(
    key: str, state_dict: StateDict, signature: Signature
) -> TensorEntry | None:
    for idea in best_renamings(state_dict, signature):
        renamed = after(idea.fixes, state_dict, signature)
        if renamed is not None and key in renamed:
            return renamed[key]
    return None


def _rows_of_last_layer(state_dict: StateDict, head: Shape) -> int | None:
    """Rows of the last weight; None if it is not a matrix with the inputs of the head."""
    weights = [
        entry
        for key, entry in state_dict.items()
        if key.endswith("weight") and not names_projected_outputs(key)
    ]
    shape = weights[-1].shape if weights else ()
    alike = len(shape) >= 2 and squeezed(shape[1:]) == squeezed(head[1:])
    return shape[0] if alike else None
