"""Files and folders that are being written: locked by the process that writes them.

The system releases the locks of a process that dies, whatever killed it. So a half-written file
without a lock is abandoned, however new it is, and one with a lock is in use, however old it is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

UNLOCKABLE_FOR = 3600.0
"""Seconds without a change after which a file counts as abandoned on a disk without locks."""


def create_locked(path: Path, buffering: int = -1) -> BinaryIO:
    """Create a file and open it for writing; it is locked until it is closed. Raises OSError."""
    while True:
        file = path.open("xb", buffering=buffering)
        _lock(file.fileno())
        # Between the two lines above, a sweep may have taken it for abandoned and removed it.
        if _is_at(file.fileno(), path):
            return file
        file.close()


def create_locked_folder(path: Path) -> int:
    """Make a folder, and return the descriptor that holds its lock until it is closed.

    Raises OSError.
    """
    while True:
        path.mkdir()
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        _lock(descriptor)
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)


def take_unlocked(path: Path) -> int | None:
    """Lock a file or folder that no process writes; its descriptor, which the caller closes.

    None where a process writes it, or where it is gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        if time.time() - os.fstat(descriptor).st_mtime < UNLOCKABLE_FOR:
            os.close(descriptor)
            return None
    return descriptor


def remove_unlocked(path: Path) -> None:
    """Remove a file or a folder unless a process writes it."""
    descriptor = take_unlocked(path)
    if descriptor is None:
        return
    try:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()
    finally:
        os.close(descriptor)


def folder_onto_disk(path: Path) -> None:
    """Flush a folder's names to the disk: without this, a power cut may undo a rename.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    # Some network file systems have no locks; there, take_unlocked decides by the file's age.
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
