"""An architecture with another option, or with as many classes as a checkpoint has."""

from __future__ import annotations

from dataclasses import replace

from core.architectures import MAX_OPTION, Architecture, options_of, signature
from core.checkpoint.entries import StateDict
from core.errors import ArchitectureError
from core.proposals import propose_num_classes


def with_option(architecture: Architecture, option: str, value: int | None) -> Architecture:
    """The architecture with one option set, or for None left to its own default."""
    options = {name: old for name, old in architecture.options if name != option}
    if value is not None:
        options[option] = value
    return replace(architecture, options=tuple(sorted(options.items())))


def with_classes(architecture: Architecture, state_dict: StateDict) -> Architecture:
    """The architecture with as many classes as the state_dict's head has, where that is known."""
    classes = classes_in(state_dict, architecture)
    return architecture if classes is None else with_option(architecture, "num_classes", classes)


def classes_in(state_dict: StateDict, architecture: Architecture) -> int | None:
    """How many classes the state_dict's head has; None where that cannot be told, or where the
    architecture takes no `num_classes`."""
    try:
        takes_classes = "num_classes" in options_of(architecture)
        classes = propose_num_classes(state_dict, architecture) if takes_classes else None
    except ArchitectureError:
        return None
    return classes if classes is not None and 0 < classes <= MAX_OPTION else None


def other_classes(state_dict: StateDict, architecture: Architecture) -> int | None:
    """How many classes the state_dict's head has, where the architecture now has another number;
    None where it has that number, or where it cannot be told."""
    classes = classes_in(state_dict, architecture)
    if classes is None or dict(architecture.options).get("num_classes") == classes:
        return None
    try:
        wanted = signature(with_option(architecture, "num_classes", classes))
        return None if wanted == signature(architecture) else classes
    except ArchitectureError:
        return None
