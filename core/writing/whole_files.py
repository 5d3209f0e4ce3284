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
    """A file to write to, and its temporary path; it gets the name `path` if nothing is raised.

    If anything is raised, no part of the file stays. Raises StoreError where the disk refuses it.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # It is closed, and so unlocked, only after the rename: a sweep removes unlocked ones.
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
            else "Check the path and its permissions, or choose another place.",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


def onto_disk(file: BinaryIO) -> None:
    """Flush all bytes to the disk, and drop them from the page cache where the system can.

    The next read then comes from the disk itself (posix_fadvise).
    """
    file.flush()
    os.fsync(file.fileno())
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
