"""Opens a file below a folder that others may write to, without following a link.

Between the check of a path and its use, any part of it may be replaced by a link. So each folder on
the path is opened relative to its parent, and neither a folder nor the file may be a link: the
opened file lies inside the root, whatever happens meanwhile. Linux's openat2 would do the same in
one call, but is not portable.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW
"""The flags for opening a folder on the path: where a link replaces it, opening fails."""

FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""The flags for opening a file: O_NONBLOCK, so that a pipe in its place does not block."""


@dataclass(frozen=True, slots=True)
class ServedFile:
    """A file inside `root`, both by their real paths."""

    root: Path
    path: Path

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.name

    def stat(self) -> os.stat_result:
        """The status of what the path names now; a link is not followed. Raises OSError."""
        return self.path.lstat()

    def open(self) -> int:
        """Open the file for reading; its descriptor. Raises OSError where the path has a link."""
        folder = open_folder(self.root, self.path.parent)
        try:
            return os.open(self.path.name, FILE | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)


def open_folder(root: Path, folder: Path) -> int:
    """Open `root` or a folder inside it, both given by their real paths; the descriptor.

    Raises OSError where a link is on the path, and ValueError where `folder` is not inside `root`.
    """
    # The server's owner chose the root and the folders above it, so they may be links.
    parts = folder.relative_to(root).parts
    at = os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    for part in parts:
        try:
            below = os.open(part, FOLDER, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at
