"""Several files become the contents of one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from core.checkpoint.contents import Contents
from core.checkpoint.file_set import FileSet
from core.errors import SourceError


@dataclass(frozen=True, slots=True)
class Assembled:
    """The contents of a set, the bytes of its files, and what is equal for equal contents."""

    contents: Contents
    size: int
    identity: str


def read_file_set(files: FileSet) -> Assembled:
    """The contents of a set. Raises CheckpointError, SourceError."""
    raise SourceError(
        f"{files.name} is a folder, and none that Loupe knows.", "Choose a checkpoint file."
    )
