"""Bytes with random access: a local file, a part of another source, or bytes in memory.

Files are read, not mapped into memory: where a training job truncates a mapped file, the whole
process dies of SIGBUS. A read gets an error instead, and is as fast from the page cache.
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
"""Buffers that one call of preadv accepts: IOV_MAX of Linux and macOS (limits.h)."""

SMALL = 1 << 20
"""Bytes up to which `read` makes one call of pread, without a buffer of its own."""


class LocalFile:
    """A file on disk; reading fails once the file has changed since it was first opened.

    It is closed where too many files are open, and opened again when it is read. It counts as
    unchanged if its device, inode, size and modification time are the same.
    """

    def __init__(
        self, path: Path | ServedFile, identity: str | None = None, name: str | None = None
    ) -> None:
        """Open `path`.

        `identity` is the SHA-256 of the contents where it is known, `name` the file's name on
        screen where it differs from the path's. Raises SourceError for a missing file, a folder, or
        a file that may not be read.
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
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise SourceError(f"{self.name} is {kind}.", "Choose a checkpoint file.")
        self.size = status.st_size
        self.identity = identity or _identity(path, self._marks)

    def opened(self) -> Descriptor:
        """The open file, which stays open while the caller keeps a reference to it.

        Raises SourceError where it was closed, and the path is another file now.
        """
        descriptor = self._open
        if descriptor is None:
            descriptor = self._open = self._opened_again()
        descriptor.touch()
        return descriptor

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
        """Forget the descriptor, so that it is closed once nobody reads from it.

        False where the path is another file now, so that this one could not be opened again.
        """
        if self._open is not None and not self._is_there():
            return False
        self._open = None
        return True

    def last_used(self) -> int:
        """The number of the last use, counted over all files of this process; −1 if closed."""
        descriptor = self._open
        return -1 if descriptor is None else descriptor.used

    def refuse_change(self) -> None:
        """Raise SourceError where the path is another file now, or none.

        Without this check, the files of one set could come from different saves.
        """
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
        """Fill the buffers one after another from `offset`, in as few system calls as possible.

        Raises SourceError as read_into does.
        """
        file = self.opened()
        for start in range(0, len(buffers), MAX_BUFFERS):
            some = buffers[start : start + MAX_BUFFERS]
            try:
                done = os.preadv(file.number, some, offset)
            except OSError:
                done = 0  # read_into meets the error again, and reports it
            for buffer in some:
                have = min(len(buffer), done)
                if have < len(buffer):  # preadv reads at most 2 GB, and stops at the file's end
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
                data = b""  # read_into meets the error again, and reports it
            if len(data) == nbytes and _marks(os.fstat(file.number)) == self._marks:
                return data
        buffer = bytearray(nbytes)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)


class Within:
    """A part of another source, as a source itself."""

    def __init__(self, whole: Source, start: int, size: int) -> None:
        """The `size` bytes of `whole` from `start`. Raises ValueError where they lie outside."""
        if start < 0 or size < 0 or start + size > whole.size:
            raise ValueError("the part lies outside the whole")
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


class InMemory:
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
    """The file that contains the source's bytes, and the position of `offset` in it.

    None where no file contains them uncompressed. A caller that reads there itself, by the
    descriptor's number, keeps a reference to the descriptor that `opened` returned. Afterwards it
    calls `read_into` with an empty buffer, which raises SourceError where the file was changed.
    """
    if isinstance(source, Within):
        return file_of(source.whole, source.start + offset)
    return (source, offset) if isinstance(source, LocalFile) else None


def _changed(name: str) -> SourceError:
    return SourceError(
        f"{name} changed while it was open.", "Open it again once it is no longer being written."
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
