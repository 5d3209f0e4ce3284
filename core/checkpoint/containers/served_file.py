"""A file below a folder that others may write to, opened without a link on the way.

Between a check of a path and its use, any part of it may be swapped for a link. So each folder on
the way is opened from the one above it, and none of them, nor the file, may be a link: what is
opened lies inside, whatever happens meanwhile. It is portable, where openat2 is Linux's own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW
"""How a folder on the way is opened: where a link takes its place, that leads nowhere."""

FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
"""How a file is opened: where a pipe takes its place, nobody waits for a writer."""


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
        """The status of what lies there now, a link's own where it is one. Raises OSError."""
        return self.path.lstat()

    def open(self) -> int:
        """Open it for reading; the descriptor. Raises OSError where a link is on the way."""
        folder = open_folder(self.root, self.path.parent)
        try:
            return os.open(self.path.name, FILE | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)


def open_folder(root: Path, folder: Path) -> int:
    """Open a folder inside `root`, or root itself, by its real path; the descriptor.

    Raises OSError where a link is on the way, and ValueError where the path leads elsewhere.
    """
    # The root is named by the server's owner, and so are the folders above it.
    parts = folder.relative_to(root).parts
    at = os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    for part in parts:
        try:
            below = os.open(part, FOLDER, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at
