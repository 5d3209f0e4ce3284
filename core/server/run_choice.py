"""The checkpoints of a training run in a folder, and a first choice among many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from core.compare.run import MAX_CHECKPOINTS
from core.errors import SourceError
from core.keys import natural_order
from core.server.files.folders import FolderEntry, holds_checkpoint, list_folder

MAX_TESTED = 100
"""Entries of a folder after which no more subfolders are tested for being one checkpoint."""

T = TypeVar("T")


def run_files(root: Path, folder: str = "") -> tuple[tuple[FolderEntry, ...], tuple[str, ...]]:
    """The checkpoints of a folder, ordered by the numbers in their names, and its other folders.

    A folder that is one checkpoint, such as transformers' `checkpoint-500`, counts as a checkpoint.
    Raises SourceError.
    """
    files: list[FolderEntry] = []
    folders: list[str] = []
    for entry in list_folder(root, folder):
        if not entry.is_folder or (
            len(files) + len(folders) < MAX_TESTED and _is_checkpoint(root, entry.path)
        ):
            files.append(entry)
        else:
            folders.append(entry.path)
    return tuple(sorted(files, key=lambda entry: natural_order(entry.name))), tuple(folders)


def evenly(items: Sequence[T], most: int = MAX_CHECKPOINTS) -> list[T]:
    """All items, or `most` of them at even distances, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[index * (len(items) - 1) // (most - 1)] for index in range(most)]


def _is_checkpoint(root: Path, folder: str) -> bool:
    try:
        return holds_checkpoint(root, folder)
    except SourceError:
        return False
