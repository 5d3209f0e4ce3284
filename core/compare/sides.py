"""Facts about one of the two files of a comparison."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from core.checkpoint import Checkpoint, StateDict
from core.inspect import danger_sentence


@dataclass(frozen=True, slots=True)
class Side:
    """What A or B is: its name, its format in words, its size in bytes, and the compared
    state_dict.

    `state_dict` is the path of the compared one (`""`: the file itself), `tensors` and `parameters`
    count what it contains, and `others` are the paths of the state_dicts that are not compared.
    `files` is 0 where there is no file (see NOTHING). `danger` is a sentence on what loading it
    elsewhere would have run, empty where that is nothing.
    """

    name: str
    format: str
    size: int
    files: int
    torch_version: str | None
    state_dict: str
    tensors: int
    parameters: int
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    danger: str = ""


def side(checkpoint: Checkpoint, state_dict: StateDict) -> Side:
    """The facts about a checkpoint of which `state_dict` is compared."""
    return Side(
        name=checkpoint.name,
        format=checkpoint.format_title,
        size=checkpoint.size,
        files=checkpoint.files,
        torch_version=checkpoint.torch_version,
        state_dict=state_dict.path,
        tensors=len(state_dict),
        parameters=state_dict.numel,
        others=tuple(
            path for path in checkpoint.state_dicts if path not in checkpoint.parts(state_dict.path)
        ),
        notes=checkpoint.notes,
        danger=danger_sentence(checkpoint),
    )


NOTHING = Side(os.devnull, "nothing", 0, 0, None, "", 0, 0)
"""The null device, which git passes in place of a file that was added or deleted."""


def is_nothing(path: Path) -> bool:
    """Whether the path is the null device."""
    return os.path.realpath(path) == os.devnull
