"""Which files of a folder may be the checkpoints of a run, and which of many to begin with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from core.compare.run import MAX_CHECKPOINTS, natural
from core.errors import SourceError
from core.server.files.folders import FolderEntry, holds_checkpoint, list_folder

MAX_FOLDERS = 100
"""Folders looked into for whether they are one checkpoint."""

T = TypeVar("T")


def run_files(root: Path, folder: str = "") -> tuple[tuple[FolderEntry, ...], tuple[str, ...]]:
    """The checkpoints of a folder by the numbers in their names, and the folders to go into.

    A folder that is one checkpoint, as transformers' `checkpoint-500`, is one. Raises SourceError.
    """
    files: list[FolderEntry] = []
    folders: list[str] = []
    for entry in list_folder(root, folder):
        if not entry.is_folder or (
            len(files) + len(folders) < MAX_FOLDERS and _is_checkpoint(root, entry.path)
        ):
            files.append(entry)
        else:
            folders.append(entry.path)
    return tuple(sorted(files, key=lambda entry: natural(entry.name))), tuple(folders)


def evenly(items: Sequence[T], most: int = MAX_CHECKPOINTS) -> list[T]:
    """All of them, or `most` from the first to the last, evenly between."""
    if len(items) <= most:
        return list(items)
    return [items[index * (len(items) - 1) // (most - 1)] for index in range(most)]


def _is_checkpoint(root: Path, folder: str) -> bool:
    try:
        return holds_checkpoint(root, folder)
    except SourceError:
        return False
