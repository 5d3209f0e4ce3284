"""Files and folders that are being written: locked by the process that writes them.

A process that dies loses its locks, whatever killed it. So what lies among half-written files and
has no lock belongs to nobody, however new it is, and what has one is in use, however old.
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
"""Seconds without a change after which a file counts as nobody's on a disk that knows no locks."""


def create_locked(path: Path, buffering: int = -1) -> BinaryIO:
    """A new file to write to; locked until it is closed. Raises OSError."""
    while True:
        file = path.open("xb", buffering=buffering)
        _lock(file.fileno())
        # Between the two lines above, a sweep may have taken it for nobody's.
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
    """The descriptor of a file or folder that nobody writes, now locked by the caller, who closes
    it; None where somebody does, or where it is gone."""
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
    """Remove a file or a folder unless somebody writes it."""
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
    """Have the names in a folder on the disk: without it a power cut may undo a rename.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Where the disk knows no locks, `take_unlocked` goes by age."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
