"""A file that appears under its name only when it is whole."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from core.errors import StoreError
from core.writing.locked_files import create_locked, folder_onto_disk


@contextmanager
def whole_file(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file to write to and where it lies for now; it takes its name where nothing is raised, and
    else nothing of it stays. Raises StoreError where the disk does not take it."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Closed, and so unlocked, only once it has its name: a sweep would remove it before.
        with create_locked(partial) as file:
            yield file, partial
            file.flush()
            partial.replace(path)
        folder_onto_disk(path.parent)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise StoreError(
            f"{path.name} cannot be written: {error.strerror}.",
            "Make room on the disk, or ask its owner."
            if full
            else "Check the path and its permissions, or name another place.",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def onto_disk(file: BinaryIO) -> None:
    """Have all bytes on the disk, and let what is read next come from there, where the system can
    (posix_fadvise)."""
    file.flush()
    os.fsync(file.fileno())
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
