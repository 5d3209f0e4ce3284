"""Checkpoints that somebody packed: into a gzip, bzip2 or xz file, a zip or a tar.

What is stored as it is, is read where it lies. What is compressed is unpacked into a temporary file
without a name, which is gone with the checkpoint, once one of its bytes is asked for.
"""

from __future__ import annotations

import bz2
import lzma
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from core.checkpoint.entries import Source
from core.checkpoint.file_set import INDEX, FileSet
from core.checkpoint.sources import Within
from core.checkpoint.tar_container import TarMember
from core.checkpoint.zip_container import Archive, Member
from core.errors import CheckpointError

MAX_UNPACKED = 8 << 30
"""Bytes that one file may unpack to."""

MAX_RATIO = 20
"""How many times its packed bytes a file may have once it is larger than FREE_UNPACKED: weights
hardly shrink."""

FREE_UNPACKED = 64 << 20

PIECE = 1 << 20
XZ_MEMORY = 128 << 20

WEIGHTS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".tar", ".pt2", ".distcp")
BESIDE = (INDEX, ".metadata", "model_index.json")


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class Compression(NamedTuple):
    """A way of packing one file: its name in words, and what unpacks it."""

    name: str
    make: Callable[[], _Decompressor]
    mistakes: tuple[type[Exception], ...]


COMPRESSIONS: Mapping[bytes, Compression] = {
    b"\x1f\x8b\x08": Compression("gzip", lambda: _Inflate(31), (zlib.error,)),
    b"BZh": Compression("bzip2", bz2.BZ2Decompressor, (OSError, EOFError)),
    b"\xfd7zXZ\x00": Compression(
        "xz", lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY), (lzma.LZMAError, EOFError)
    ),
}
"""By the first bytes of a file."""

DEFLATE = Compression("zip", lambda: _Inflate(-15), (zlib.error,))


@dataclass(frozen=True, slots=True)
class Unpacking:
    """Where temporary files go (None: where the system keeps them), and how large they may get."""

    folder: Path | None = None
    limit: int = MAX_UNPACKED


def compression_of(head: bytes) -> Compression | None:
    """How a file is packed, by its first bytes."""
    return next((found for magic, found in COMPRESSIONS.items() if head.startswith(magic)), None)


def unpacked(source: Source, compression: Compression, unpacking: Unpacking) -> Source:
    """The one file in a packed one, unpacked. Raises CheckpointError, SourceError."""
    return _Unpacked(source, compression, unpacking, None)


def files_in_zip(archive: Archive, name: str, unpacking: Unpacking) -> FileSet | None:
    """The checkpoint's files in an ordinary zip, without its outer folder; None where it has none.

    Raises CheckpointError where they are encrypted, or packed in an unusual way.
    """
    wanted = {member: found for member, found in archive.members.items() if _is_wanted(member)}
    return _file_set(name, {
        member: _in_zip(archive, found, unpacking) for member, found in wanted.items()
    })  # fmt: skip


def files_in_tar(source: Source, members: list[TarMember], name: str) -> FileSet | None:
    """The checkpoint's files in a tar, without its outer folder; None where it has none."""
    wanted = [member for member in members if _is_wanted(member.name)]
    return _file_set(
        name, {member.name: Within(source, member.offset, member.size) for member in wanted}
    )


def _is_wanted(name: str) -> bool:
    base = name.rpartition("/")[2]
    return not base.startswith("._") and name.endswith((*WEIGHTS, *BESIDE))


def _file_set(name: str, sources: Mapping[str, Source]) -> FileSet | None:
    if not any(member.endswith(WEIGHTS) for member in sources):
        return None
    folder = os.path.commonpath([f"/{member}" for member in sources]).rpartition("/")[0]
    if len(sources) > 1:
        folder = os.path.commonpath([os.path.dirname(f"/{member}") for member in sources])
    return FileSet(
        name,
        {f"/{member}".removeprefix(folder).lstrip("/"): part for member, part in sources.items()},
    )


def _in_zip(archive: Archive, member: Member, unpacking: Unpacking) -> Source:
    if member.encrypted:
        raise CheckpointError(
            f"The zip is encrypted: {member.name[:200]} cannot be read.",
            "Unpack it with its password, and open what is inside.",
        )
    start, stop = archive.span(member)
    if member.method == 0:
        return Within(archive.source, start, member.nbytes)
    if member.method != zlib.DEFLATED:
        raise CheckpointError(
            f"{member.name[:200]} is packed in a way that few programs read.",
            "Unpack the zip, and open what is inside.",
        )
    part = Within(archive.source, start, stop - start)
    return _Unpacked(part, DEFLATE, unpacking, member.nbytes)


class _Unpacked:
    """A packed file's contents as a source: unpacked once, when they are first asked for."""

    def __init__(
        self, packed: Source, compression: Compression, unpacking: Unpacking, size: int | None
    ) -> None:
        self.identity = f"{packed.identity}!"
        self._packed = packed
        self._compression = compression
        self._unpacking = unpacking
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._size = size

    @property
    def size(self) -> int:
        """Bytes once unpacked."""
        if self._size is None:
            self._size = os.fstat(self._descriptor()).st_size
        return self._size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`. Raises CheckpointError, SourceError."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self._descriptor(), [buffer[done:]], offset + done)
            if count == 0:
                raise self._cut_off()
            done += count

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`."""
        wanted = max(0, min(nbytes, self.size - offset))
        buffer = bytearray(wanted)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def _descriptor(self) -> int:
        with self._lock:
            if self._file is None:
                self._file = self._unpack()
            return self._file.fileno()

    def _unpack(self) -> IO[bytes]:
        file = tempfile.TemporaryFile(dir=self._unpacking.folder)  # noqa: SIM115  # kept open
        try:
            for piece in self._pieces():
                file.write(piece)
            file.flush()
            if self._size is not None and os.fstat(file.fileno()).st_size != self._size:
                raise self._cut_off()
        except BaseException:
            file.close()
            raise
        return file

    def _pieces(self) -> Iterator[bytes]:
        room = min(self._unpacking.limit, self._free())
        if self._size is not None and self._size > room:
            raise self._too_large()
        made = 0
        decompressor = self._compression.make()
        at = 0
        pending = b""
        while True:
            if not pending and at < self._packed.size:
                pending = self._packed.read(at, PIECE)
                at += len(pending)
            if decompressor.eof:
                # gzip, bzip2 and xz files may follow one another in one.
                pending = decompressor.unused_data + pending
                if not pending.lstrip(b"\0") and at >= self._packed.size:
                    return
                if self._compression is DEFLATE or compression_of(pending) is None:
                    return
                decompressor = self._compression.make()
            try:
                piece = decompressor.decompress(pending, PIECE)
            except self._compression.mistakes as error:
                raise CheckpointError(
                    f"The {self._compression.name} file is damaged: {error}.",
                    "Get it again from where it came from, and compare its size.",
                ) from error
            if not piece and not pending and not decompressor.eof and at >= self._packed.size:
                raise self._cut_off()
            pending = b""
            made += len(piece)
            if made > room or made > max(FREE_UNPACKED, MAX_RATIO * at):
                raise self._too_large()
            yield piece

    def _free(self) -> int:
        folder = self._unpacking.folder or Path(tempfile.gettempdir())
        return shutil.disk_usage(folder).free // 2

    def _too_large(self) -> CheckpointError:
        return CheckpointError(
            f"The {self._compression.name} file unpacks to more than Loupe unpacks by itself.",
            "Unpack it, and open what is inside.",
        )

    def _cut_off(self) -> CheckpointError:
        return CheckpointError(
            f"The {self._compression.name} file is cut off.",
            "The download or the copy broke off: get it again, and compare its size.",
        )


class _Inflate:
    """zlib with the same face as bz2 and lzma, which keep what they have not yet unpacked."""

    def __init__(self, window: int) -> None:
        self._inner = zlib.decompressobj(window)
        self._rest = b""

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes:
        """Unpack a little more."""
        piece = self._inner.decompress(self._rest + data, max_length)
        self._rest = self._inner.unconsumed_tail
        return piece

    @property
    def eof(self) -> bool:
        """Whether the stream ended."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What follows the stream's end."""
        return self._inner.unused_data
