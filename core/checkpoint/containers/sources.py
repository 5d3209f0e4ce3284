"""Bytes with random access: a local file, a part of one, or bytes at hand.

A file is read without mapping it into memory.
A file that a training job overwrites while it is mapped kills the whole process with SIGBUS; a
read gets a clean error instead, and is as fast from the page cache.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from core.checkpoint.containers.descriptors import Descriptor, opened_in_bounds
from core.checkpoint.containers.served_file import FILE, ServedFile
from core.checkpoint.entries import Source
from core.errors import SourceError, shown

MAX_BUFFERS = 1024
"""What one call of preadv takes: IOV_MAX of Linux and macOS (limits.h)."""

SMALL = 1 << 20
"""Bytes that one call of pread is sure to be asked for."""


class LocalFile:
    """A file. What it holds is what it held when it was first opened, or reading fails.

    It is closed where too many are open, and opened again when it is read: only where it is the
    same file then, by its device, inode, size and time of the last change.
    """

    def __init__(
        self, path: Path | ServedFile, identity: str | None = None, name: str | None = None
    ) -> None:
        """Open `path`; `identity` is the content's SHA-256 where it is known, `name` what people
        call the file where its path does not tell.

        Raises SourceError for a missing file, a folder, or one that may not be read.
        """
        self.path = path
        self.name = name or shown(path.name)
        self._open: Descriptor | None = None
        try:
            number = opened_in_bounds(self._open_path)
        except (OSError, ValueError) as error:
            raise _cannot_open(self.name, name or shown(str(path)), error) from error
        status = os.fstat(number)
        self._marks = _marks(status)
        self._open = Descriptor(number, self)
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise SourceError(f"{self.name} is {what}.", "Choose a checkpoint file.")
        self.size = status.st_size
        self.identity = identity or _identity(path, self._marks)

    def opened(self) -> Descriptor:
        """The open file: it stays open while the caller holds what this returns. Raises SourceError
        where it was closed, and is another file now."""
        found = self._open
        if found is None:
            found = self._open = self._opened_again()
        found.touch()
        return found

    def _opened_again(self) -> Descriptor:
        try:
            number = opened_in_bounds(self._open_path)
        except OSError as error:
            raise _changed(self.name) from error
        if _marks(os.fstat(number)) != self._marks:
            os.close(number)
            raise _changed(self.name)
        return Descriptor(number, self)

    def _open_path(self) -> int:
        return self.path.open() if isinstance(self.path, ServedFile) else os.open(self.path, FILE)

    def let_go(self) -> bool:
        """Forget the descriptor, so that it is closed once nobody reads from it; False where the
        path leads to another file now, and this one could not be opened again."""
        if self._open is not None and not self._is_there():
            return False
        self._open = None
        return True

    def last_used(self) -> int:
        """Which of all uses of files the last one was."""
        found = self._open
        return -1 if found is None else found.used

    def refuse_change(self) -> None:
        """Raise SourceError where the path leads to another file now, or to none: of several files
        that are one, some may be older than others."""
        if not self._is_there():
            raise _changed(self.name)

    def _is_there(self) -> bool:
        try:
            return _marks(self.path.stat()) == self._marks
        except OSError:
            return False

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`.

        Raises SourceError where the file is shorter than that, or was written to meanwhile.
        """
        file, done = self.opened(), 0
        while done < len(buffer):
            try:
                count = os.preadv(file.number, [buffer[done:]], offset + done)
            except OSError as error:
                raise SourceError(
                    f"{self.name} cannot be read any more: {error.strerror}.",
                    "Check the disk, then open the file again.",
                ) from error
            if count == 0:
                break
            done += count
        if done < len(buffer) or _marks(os.fstat(file.number)) != self._marks:
            raise _changed(self.name)

    def scatter(self, offset: int, buffers: Sequence[memoryview]) -> None:
        """Fill the buffers one after the other from `offset`, in as few calls as the system takes.

        Raises SourceError as read_into does.
        """
        file = self.opened()
        for start in range(0, len(buffers), MAX_BUFFERS):
            some = buffers[start : start + MAX_BUFFERS]
            try:
                done = os.preadv(file.number, some, offset)
            except OSError:
                done = 0  # read_into tells why
            for buffer in some:
                have = min(len(buffer), done)
                if have < len(buffer):  # one call gives 2 GB at most, and no more than there is
                    self.read_into(offset + have, buffer[have:])
                done -= have
                offset += len(buffer)
        if _marks(os.fstat(file.number)) != self._marks:
            raise _changed(self.name)

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`; raises SourceError."""
        nbytes = max(0, min(nbytes, self.size - offset))
        if nbytes <= SMALL:
            file = self.opened()
            try:
                data = os.pread(file.number, nbytes, offset)
            except (OSError, OverflowError):
                data = b""  # read_into tells why
            if len(data) == nbytes and _marks(os.fstat(file.number)) == self._marks:
                return data
        buffer = bytearray(nbytes)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)


class Within:
    """A part of another source, as a source of its own."""

    def __init__(self, whole: Source, start: int, size: int) -> None:
        """The `size` bytes from `start`, which must lie inside. Raises ValueError."""
        if start < 0 or size < 0 or start + size > whole.size:
            raise ValueError("a part that reaches beyond the whole")
        self.size = size
        self.identity = f"{whole.identity}@{start}+{size}"
        self.whole = whole
        self.start = start

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`. Raises SourceError."""
        if offset < 0 or offset + len(buffer) > self.size:
            raise _beyond()
        self.whole.read_into(self.start + offset, buffer)

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`; raises SourceError."""
        return self.whole.read(self.start + offset, max(0, min(nbytes, self.size - offset)))


class Held:
    """Bytes in memory, such as a tensor that lies inside a pickle."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    @property
    def identity(self) -> str:
        """The SHA-256 of the bytes."""
        return f"sha256:{hashlib.sha256(self._data).hexdigest()}"

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`. Raises SourceError."""
        if offset < 0 or offset + len(buffer) > self.size:
            raise _beyond()
        buffer[:] = self._data[offset : offset + len(buffer)]

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`."""
        return self._data[offset : offset + nbytes]


def file_of(source: Source, offset: int) -> tuple[LocalFile, int] | None:
    """The file whose bytes these are, and where in it `offset` is; None where no file holds them as
    they are.

    Whoever reads there by the number of what `opened` gives holds that meanwhile, and asks
    `read_into` for no bytes at all afterwards: it raises SourceError where the file was written to.
    """
    if isinstance(source, Within):
        return file_of(source.whole, source.start + offset)
    return (source, offset) if isinstance(source, LocalFile) else None


def _changed(name: str) -> SourceError:
    return SourceError(
        f"{name} changed while it was open.", "Open it again once whatever writes it is done."
    )


def _beyond() -> SourceError:
    return SourceError("The file is shorter than its contents say.", "It is damaged: get it again.")


def _marks(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _identity(path: Path | ServedFile, marks: tuple[int, int, int, int]) -> str:
    real = path.path if isinstance(path, ServedFile) else os.path.realpath(path)
    text = f"{real}|{'|'.join(map(str, marks))}"
    return "file:" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _cannot_open(name: str, place: str, error: OSError | ValueError) -> SourceError:
    if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError):
        return SourceError(f"There is no file {place}.", "Check the path, or choose it again.")
    if isinstance(error, PermissionError):
        return SourceError(
            f"{name} may not be read by the user that Loupe runs as.",
            "Change its permissions, or copy it to where Loupe may read.",
        )
    return SourceError(f"{name} cannot be opened: {error.strerror}.", "Check the path.")
