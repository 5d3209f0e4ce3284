"""Checkpoints inside an archive or a compressed file: gzip, zlib, bzip2, xz, zip or tar.

A member that is stored uncompressed is read in place. A compressed one is unpacked at the first
read, into a temporary file without a name, which is deleted with the checkpoint. All members of one
archive share one such file: it cannot be closed and opened again, so there should be few.
"""

from __future__ import annotations

import bz2
import lzma
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from core.checkpoint.containers.budget import MoreThanLoupeReads
from core.checkpoint.containers.descriptors import Descriptor, opened_in_bounds
from core.checkpoint.containers.file_set import INDEX, FileSet
from core.checkpoint.containers.inflated import RAW_DEFLATE
from core.checkpoint.containers.sources import Within
from core.checkpoint.containers.tar_container import TarMember
from core.checkpoint.containers.zip_container import Archive, Member
from core.checkpoint.entries import Source
from core.errors import CheckpointError, SourceError
from core.wording import count
from core.wording import size as size_words

MAX_UNPACKED = 8 << 30
"""The most bytes that one archive may unpack to."""

MAX_RATIO = 20
"""The largest ratio of unpacked to compressed bytes, beyond FREE_UNPACKED: weights hardly shrink
when they are compressed."""

FREE_UNPACKED = 64 << 20
"""Bytes that a file may unpack to whatever its ratio."""

FREE_STREAMS = 1_000
MIN_STREAM = 4 << 10
"""Compressed streams that may follow one another in a file without condition; each further one must
unpack to MIN_STREAM bytes on average."""

MAX_FILES = 10_000
"""The most files in one zip with the names of checkpoints."""

PIECE = 1 << 20
"""The most unpacked bytes that are in memory at once."""

PACKED_PIECE = 64 << 10
"""Compressed bytes that are read at once."""

XZ_MEMORY = 128 << 20
"""Bytes that xz may use to unpack; its strongest preset, `xz -9`, needs 64 MiB."""

WEIGHTS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".tar", ".pt2", ".distcp")
"""The endings of an archive's members that contain tensors."""

INDEX_FILES = (INDEX, ".metadata", "model_index.json")
"""The ends of the names of those that say how several files make up one checkpoint: the index of
shards, torch.distributed.checkpoint's, diffusers'."""


GZIP = 16 + zlib.MAX_WBITS
"""Deflate with gzip's header (zlib.h, inflateInit2)."""


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class Compression(NamedTuple):
    """A compression of one file: its name, its decompressor, and the errors that this raises."""

    name: str
    make: Callable[[], _Decompressor]
    mistakes: tuple[type[Exception], ...]


COMPRESSIONS: Mapping[bytes, Compression] = {
    b"\x1f\x8b\x08": Compression("gzip", lambda: _Inflate(GZIP), (zlib.error,)),
    **dict.fromkeys(
        (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"),
        Compression("zlib", lambda: _Inflate(zlib.MAX_WBITS), (zlib.error,)),
    ),
    b"BZh": Compression("bzip2", bz2.BZ2Decompressor, (OSError, EOFError)),
    b"\xfd7zXZ\x00": Compression(
        "xz", lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY), (lzma.LZMAError, EOFError)
    ),
}
"""The compressions by a file's first bytes."""

HEAD = max(map(len, COMPRESSIONS))
"""Bytes by which every compression can be recognised."""

DEFLATE = Compression("zip", lambda: _Inflate(RAW_DEFLATE), (zlib.error,))
"""The compression of a zip's members; it has no first bytes of its own."""


@dataclass(slots=True)
class Unpacking:
    """The temporary file that all compressed members of one archive are unpacked into.

    `folder` is where it lies (None: the system's folder for temporary files), `room` how many more
    bytes it may take, `end` the offset at which the next member goes.
    """

    folder: Path | None = None
    room: int = MAX_UNPACKED
    end: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    _file: Descriptor | None = field(default=None, init=False)

    def file(self) -> Descriptor:
        """The file, created at the first call. Raises OSError, SourceError."""
        if self._file is None:
            self._file = Descriptor(opened_in_bounds(self._make))
        return self._file

    def _make(self) -> int:
        with tempfile.TemporaryFile(dir=self.folder) as file:
            return os.dup(file.fileno())


def compression_of(head: bytes) -> Compression | None:
    """The compression of a file by its first bytes; None where it has none of COMPRESSIONS."""
    return next(
        (compression for magic, compression in COMPRESSIONS.items() if head.startswith(magic)), None
    )


def beginning(source: Source, compression: Compression, nbytes: int) -> bytes | None:
    """The first so many unpacked bytes, or fewer where the file is cut off; None where it is not
    compressed so. Raises SourceError."""
    try:
        return compression.make().decompress(source.read(0, PIECE), nbytes)
    except compression.mistakes:
        return None


def unpacked(source: Source, compression: Compression, unpacking: Unpacking) -> Source:
    """A compressed file's contents as a source, which is unpacked at the first read."""
    return _Unpacked(source, compression, unpacking)


def files_in_zip(archive: Archive, name: str, unpacking: Unpacking) -> FileSet | None:
    """The checkpoint's files in an ordinary zip, without its outer folder; None where it has none.

    Raises CheckpointError where one is encrypted, or compressed by an unusual method.
    """
    members = {path: member for path, member in archive.members.items() if _is_of_checkpoint(path)}
    if len(members) > MAX_FILES:
        raise MoreThanLoupeReads(
            f"it contains {count(len(members))} files with names like those of checkpoints, more "
            f"than {count(MAX_FILES)}",
            "Unpack it, and open the one that you mean.",
        )
    sources = {
        path: unpacked_member(archive, unpacking, member) for path, member in members.items()
    }
    return _file_set(name, archive.source, sources, partial(_others, archive, unpacking, members))


def _others(
    archive: Archive, unpacking: Unpacking, members: Collection[str]
) -> Mapping[str, Source | None]:
    """The members that are not among the checkpoint's; None for those that cannot be unpacked."""
    others: dict[str, Source | None] = {}
    for path, member in archive.members.items():
        if path not in members and not path.endswith("/"):
            try:
                others[path] = unpacked_member(archive, unpacking, member)
            except CheckpointError:
                others[path] = None
    return others


def files_in_tar(source: Source, members: list[TarMember], name: str) -> FileSet | None:
    """The checkpoint's files in a tar, without its outer folder; None where it has none."""
    files, others = dict[str, Source](), dict[str, Source | None]()
    for member in members:
        chosen = files if _is_of_checkpoint(member.name) else others
        chosen[member.name] = Within(source, member.offset, member.size)
    return _file_set(name, source, files, partial(dict, others))


def _is_of_checkpoint(name: str) -> bool:
    base = name.rpartition("/")[2]
    # macOS puts a file `._NAME` with metadata beside each file NAME in an archive.
    return not base.startswith("._") and name.endswith((*WEIGHTS, *INDEX_FILES))


def _file_set(
    name: str,
    archive: Source,
    sources: Mapping[str, Source],
    others: Callable[[], Mapping[str, Source | None]],
) -> FileSet | None:
    """The sources by their paths below the innermost folder that contains all of them."""
    if not any(member.endswith(WEIGHTS) for member in sources):
        return None
    # os.path.commonpath refuses a mixture of absolute and relative paths, so all get a slash.
    folder = os.path.commonpath([os.path.dirname(f"/{member}") for member in sources])
    return FileSet(
        name,
        {f"/{member}".removeprefix(folder).lstrip("/"): part for member, part in sources.items()},
        within=f"{folder.lstrip('/')}/".lstrip("/"),
        archive=archive,
        others=others,
    )


def unpacked_member(archive: Archive, unpacking: Unpacking, member: Member) -> Source:
    """A zip's member as a source, which is unpacked at the first read if it is compressed.

    Raises CheckpointError where it is encrypted, or compressed by an unusual method.
    """
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
            f"{member.name[:200]} is compressed by a method that few programs read.",
            "Unpack the zip, and open what is inside.",
        )
    part = Within(archive.source, start, stop - start)
    return _Unpacked(part, DEFLATE, unpacking, member.nbytes, member.crc32 or None)


class _Place(NamedTuple):
    """Where a member lies unpacked: the temporary file, the offset there, and its bytes."""

    file: Descriptor
    start: int
    nbytes: int


class _Unpacked:
    """A compressed file's contents as a source, unpacked once, at the first read."""

    def __init__(
        self,
        packed: Source,
        compression: Compression,
        unpacking: Unpacking,
        size: int | None = None,
        crc32: int | None = None,
    ) -> None:
        """`size` and `crc32` are those of the unpacked bytes, where the archive states them."""
        self.identity = f"{packed.identity}!"
        self._packed = packed
        self._compression = compression
        self._unpacking = unpacking
        self._place: _Place | None = None
        self._size = size
        self._crc32 = crc32

    @property
    def size(self) -> int:
        """The number of unpacked bytes; where it is not stated, this unpacks the file."""
        if self._size is None:
            self._size = self._unpacked().nbytes
        return self._size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer from `offset`. Raises CheckpointError, SourceError."""
        place, done = self._unpacked(), 0
        if offset + len(buffer) > place.nbytes:
            raise self._cut_off()
        while done < len(buffer):
            at = place.start + offset + done
            done += os.preadv(place.file.number, [buffer[done:]], at)

    def read(self, offset: int, nbytes: int) -> bytes:
        """The bytes from `offset`, as many as there are up to `nbytes`."""
        buffer = bytearray(max(0, min(nbytes, self.size - offset)))
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def _unpacked(self) -> _Place:
        with self._unpacking.lock:
            if self._place is None:
                self._place = self._unpack()
            return self._place

    def _unpack(self) -> _Place:
        start = self._unpacking.end
        try:
            file = self._unpacking.file()
            # If this fails, `end` stays, so the next member overwrites the incomplete bytes.
            self._unpacking.end = self._fill(file.number, start)
        except OSError as error:
            raise SourceError(
                f"The {self._compression.name} file cannot be unpacked: {error.strerror}.",
                "Make room on the server's disk, or unpack it and open what is inside.",
            ) from error
        return _Place(file, start, self._unpacking.end - start)

    def _fill(self, file: int, start: int) -> int:
        """Write the unpacked bytes at `start`; the offset at which they end."""
        room = min(self._unpacking.room, self._free())
        if self._size is not None and self._size > room:
            raise self._too_large()
        nbytes = crc32 = 0
        for piece, read in self._pieces():
            if nbytes + len(piece) > min(room, max(FREE_UNPACKED, MAX_RATIO * read)):
                raise self._too_large()
            crc32 = zlib.crc32(piece, crc32)
            unwritten = memoryview(piece)
            while unwritten:
                written = os.pwrite(file, unwritten, start + nbytes)
                nbytes += written
                unwritten = unwritten[written:]
        self._unpacking.room -= nbytes
        if self._size is not None and nbytes != self._size:
            raise self._cut_off()
        if self._crc32 is not None and crc32 != self._crc32:
            raise self._damaged("its checksum differs from the one in the archive")
        return start + nbytes

    def _pieces(self) -> Iterator[tuple[bytes, int]]:
        """The unpacked bytes in pieces, each with the compressed bytes that were read so far."""
        decompressor = self._compression.make()
        at = unpacked_bytes = 0
        streams = 1
        while True:
            data = b""
            if decompressor.eof:
                # A gzip, bzip2 or xz file may consist of several streams, one after another.
                data = decompressor.unused_data
                if len(data) < HEAD:
                    data += self._packed.read(at, PACKED_PIECE)
                    at = min(at + PACKED_PIECE, self._packed.size)
                if compression_of(data) is not self._compression:
                    return
                streams += 1
                if streams > FREE_STREAMS + unpacked_bytes // MIN_STREAM:
                    raise self._damaged("it is a long sequence of empty streams")
                decompressor = self._compression.make()
            elif decompressor.needs_input:
                data = self._packed.read(at, PACKED_PIECE)
                at += len(data)
                if not data:
                    raise self._cut_off()
            try:
                piece = decompressor.decompress(data, PIECE)
            except self._compression.mistakes as error:
                raise self._damaged("its bytes cannot be unpacked") from error
            unpacked_bytes += len(piece)
            if piece:
                yield piece, at

    def _free(self) -> int:
        """Bytes that may be unpacked: half of the free ones, since others use the disk too."""
        folder = self._unpacking.folder or Path(tempfile.gettempdir())
        return shutil.disk_usage(folder).free // 2

    def _too_large(self) -> CheckpointError:
        most = f"{size_words(MAX_UNPACKED)}, or to {MAX_RATIO} times its size"
        return MoreThanLoupeReads(
            f"the {self._compression.name} file unpacks to more than {most}",
            "Unpack it, and open what is inside.",
        )

    def _damaged(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"The {self._compression.name} file is damaged: {why}.",
            "Get it again from where it came from, and compare its size.",
        )

    def _cut_off(self) -> CheckpointError:
        return CheckpointError(
            f"The {self._compression.name} file is cut off.",
            "The download or the copy broke off: get it again, and compare its size.",
        )


class _Inflate:
    """zlib with the interface of bz2 and lzma, which keep their unconsumed input themselves."""

    def __init__(self, wbits: int) -> None:
        """`wbits` is zlib's name for the kind of header and the size of the window."""
        self._inner = zlib.decompressobj(wbits)
        self._unconsumed = b""

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes:
        """The next unpacked bytes, `max_length` at most."""
        piece = self._inner.decompress(self._unconsumed + data, max_length)
        self._unconsumed = self._inner.unconsumed_tail
        return piece

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        """Whether all input so far was consumed."""
        return not self._unconsumed

    @property
    def unused_data(self) -> bytes:
        """The input after the end of the stream."""
        return self._inner.unused_data
