"""Bounds the files that this process keeps open: at the system's limit it could accept no
connection.

A file stays open while it may be read again. At the bound, the files used longest ago are closed;
their owner opens them again when they are read. Files that could not be opened again stay open, and
count.
"""

from __future__ import annotations

import errno
import itertools
import os
import resource
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from core.errors import SourceError
from core.wording import count

MAX_OPEN_FILES = 8192
"""The most files that are kept open, even if the system allows more: each takes about a kilobyte
of the kernel's memory."""

SHARE = 2
"""One in so many of the files that the system allows may be a checkpoint's; the others are for
connections, libraries and threads."""

MACOS = 10_240
"""The limit that macOS accepts where it reports none (OPEN_MAX, sys/syslimits.h)."""


class Reopening(Protocol):
    """The owner of an open file, which can open it again."""

    def let_go(self) -> bool:
        """Forget the descriptor, so that it is closed once nobody reads from it.

        False where the file could not be opened again, and so stays open.
        """

    def last_used(self) -> int:
        """The number of the last use, counted over all files of this process."""


class Descriptor:
    """An open file's number, which is closed when this object is garbage-collected.

    So a reader keeps a reference to it while it reads.
    """

    __slots__ = ("number", "used")

    def __init__(self, number: int, owner: Reopening | None = None) -> None:
        """Take over an open file; without an `owner`, it is never closed to make room."""
        self.number = number
        self.used = next(_uses)
        _open[number] = weakref.ref(owner) if owner is not None else None

    def touch(self) -> None:
        """Note that the file is used now."""
        self.used = next(_uses)

    def __del__(self) -> None:
        _open.pop(self.number, None)  # before another file can have this number
        _close(self.number)


_uses = itertools.count()
_open: dict[int, weakref.ref[Reopening] | None] = {}
"""The owner of each open file by its number; None where it cannot be opened again. It is global
because the system's limit is one for the whole process."""
_making_room = threading.Lock()
_close = os.close  # at interpreter exit, `os` may be cleared before the last Descriptor is deleted


def open_files() -> int:
    """The number of files that are open for checkpoints now."""
    return len(_open)


def most_open_files() -> int:
    """The number of files that may be open at once, from the process's soft limit.

    A file that a thread reads from while room is made stays open besides.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_OPEN_FILES
    return min(MAX_OPEN_FILES, soft // SHARE)


def opened_in_bounds(open_it: Callable[[], int]) -> int:
    """Make room for one more file, and open it by calling `open_it`; the file's number.

    Raises SourceError where no file can be closed for it, and OSError as `open_it` does.
    """
    most = most_open_files()
    if open_files() >= most:
        _make_room(most - max(1, most // 8))  # for several files, so that not each one searches
        unclosable = sum(owner is None for owner in _open.copy().values())
        if unclosable >= most:
            raise SourceError(
                f"{count(unclosable)} files are open at once, and none of them can be closed.",
                "Close other checkpoints, or let the server's owner raise its limit of open files.",
            )
    try:
        return open_it()
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
    # Something else in this process, or on this machine, has used up the limit.
    _make_room(open_files() // 2)
    return open_it()


def _make_room(most: int) -> None:
    """Close the files used longest ago until at most so many are open."""
    with _making_room:
        # dict.copy is one step under the GIL: __del__ of a file removes entries at any time.
        owners = {number: ref() for number, ref in _open.copy().items() if ref is not None}
        owned = [(number, owner) for number, owner in owners.items() if owner is not None]
        owned.sort(key=lambda pair: pair[1].last_used())
        for number, owner in owned:
            if open_files() <= most:
                return
            if not owner.let_go() and number in _open:
                _open[number] = None


def raise_limit() -> None:
    """Raise this process's soft limit of open files to its hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, MACOS):
        if soft == limit:
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (ValueError, OSError):
            continue
        return
