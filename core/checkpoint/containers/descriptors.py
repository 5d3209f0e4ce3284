"""Open files of this process: bounded, since at the system's limit it could take no connection.

A file stays open while it may be read again. Where as many are open as may be, those used longest
ago are closed, and opened again when they are read, which their owner does. Files that could not be
opened again stay open, and count.
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

MOST = 8192
"""Files kept open at most, however many the system allows: each takes about a kilobyte of the
kernel's memory."""

SHARE = 2
"""A file in so many that the system allows may be a checkpoint's; the others are for connections,
libraries and threads."""

MACOS = 10_240
"""What macOS allows where it says that there is no limit (OPEN_MAX, sys/syslimits.h)."""


class Reopening(Protocol):
    """What keeps a file open, and can open it again."""

    def let_go(self) -> bool:
        """Forget the descriptor, so that it is closed once nobody reads from it; False where the
        file could not be opened again, and so is kept open."""

    def last_used(self) -> int:
        """Which of all uses in this process the last one was."""


class Descriptor:
    """An open file's number. The file is closed once nobody holds this object any more, so whoever
    reads holds it meanwhile."""

    __slots__ = ("number", "used")

    def __init__(self, number: int, owner: Reopening | None = None) -> None:
        """Take over an open file; what has no `owner` is never closed to make room."""
        self.number = number
        self.used = next(_uses)
        _open[number] = weakref.ref(owner) if owner is not None else None

    def touch(self) -> None:
        """Note that it is used now."""
        self.used = next(_uses)

    def __del__(self) -> None:
        _open.pop(self.number, None)  # before another file can have this number
        _close(self.number)


_uses = itertools.count()
_open: dict[int, weakref.ref[Reopening] | None] = {}
"""The owner of each open file by its number; None where it cannot be opened again. The system's
limit is the process's, and so is this."""
_making_room = threading.Lock()
_close = os.close  # at the interpreter's end, a module's names may go before the last object does


def open_files() -> int:
    """How many files are open now for checkpoints."""
    return len(_open)


def most_open_files() -> int:
    """How many may be open at once, by the process's soft limit. Those that threads are reading
    from when room is made come on top."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else min(MOST, soft // SHARE)


def opened_in_bounds(open_it: Callable[[], int]) -> int:
    """The number of the file that `open_it` opens, once there is room for it.

    Raises SourceError where no file may be closed for it, and OSError as `open_it` does.
    """
    most = most_open_files()
    if len(_open) >= most:
        _make_room(most - max(1, most // 8))
        kept = sum(owner is None for owner in _open.copy().values())
        if kept >= most:
            raise SourceError(
                f"{kept:,} files are open at once, and none of them can be closed.",
                "Close other checkpoints, or let the server's owner raise its limit of open files.",
            )
    try:
        return open_it()
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
    _make_room(len(_open) // 2)
    return open_it()


def _make_room(most: int) -> None:
    """Close the files used longest ago until at most so many are open."""
    with _making_room:
        # A copy in one step: a file that is closed meanwhile takes itself out.
        owners = {number: ref() for number, ref in _open.copy().items() if ref is not None}
        owned = [(number, owner) for number, owner in owners.items() if owner is not None]
        owned.sort(key=lambda pair: pair[1].last_used())
        for number, owner in owned:
            if len(_open) <= most:
                return
            if not owner.let_go() and number in _open:
                _open[number] = None


def raise_limit() -> None:
    """Let this process have as many files open as it is allowed to ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, MACOS):
        if soft == wanted:
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            continue
        return
