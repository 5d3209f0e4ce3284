"""The zip that torch.save has written since PyTorch 1.6, read without unpacking it.

Layout (caffe2/serialize/inline_container.h): one folder with `data.pkl`, `byteorder`, `version` and
a member `data/<key>` for each storage, all stored uncompressed. The zip's structures are those of
PKWARE's APPNOTE.TXT: sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16
(end records, also of zip64) and 4.5.3 (64-bit sizes). The directory is parsed here because Python's
`zipfile` accepts a member that occurs twice, and another reader of the file may take the other one.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from core.checkpoint.containers.budget import MoreThanLoupeReads
from core.checkpoint.containers.inflated import RAW_DEFLATE, Inflated
from core.checkpoint.containers.window import WINDOW, Window
from core.checkpoint.entries import Record, Source, make_record
from core.errors import CheckpointError
from core.wording import size as size_words

LOCAL_MAGIC = b"PK\x03\x04"
"""The first bytes of a local header, and so of a zip that is not empty."""

_END_MAGIC, _END64_MAGIC, _LOCATOR_MAGIC = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL = struct.Struct("<4s4x2H4x3L3H8xL")
"""The used fields of a directory entry: magic, flags, method, CRC-32, compressed and unpacked size,
the lengths of its name, extra field and comment, and the offset of its local header."""

_LOCAL = struct.Struct("<4s5H3L2H")
"""A local header; its last two fields are the lengths of the name and the extra field."""

_LOCAL_LENGTHS = struct.Struct("<26x2H")
"""Those two lengths alone."""

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
"""The end record, that of zip64, and the record before the end that says where that one is."""

MAX_COMMENT = 0xFFFF
"""The most bytes of the comment after the end record: its length has 16 bits."""

MAX_DIRECTORY = 32 << 20
"""The most bytes of a central directory: those of 400,000 tensors."""

ALIGNMENT_SEARCH = 64
"""Bytes after a member's data within which the next local header begins: between them lies at most
a data descriptor."""


class NoDirectory(Exception):
    """The zip has no end record or directory: it is cut off, or not a zip."""


class Member(NamedTuple):
    """A file in the zip; `method` 0 means uncompressed, `offset` is that of its local header."""

    name: str
    offset: int
    nbytes: int
    crc32: int
    method: int
    encrypted: bool


class Archive:
    """A zip's members by name, in the order of its directory.

    `unpack` makes a source of a deflated member's unpacked bytes; None where that is not wanted.
    """

    def __init__(self, source: Source, members: Mapping[str, Member]) -> None:
        self.source = source
        self.members = members
        self.unpack: Callable[[Member], Source] | None = None
        self._unpacked: dict[str, Source] = {}
        self._window = Window(source)
        self._offsets: list[int] = []

    def record(self, name: str) -> Record:
        """Where a member's bytes lie; raises CheckpointError."""
        member = self.members.get(name)
        if member is None:
            raise CheckpointError(
                f"The archive refers to {name[:200]}, which it does not contain.",
                "The file is damaged: get it again from where it came from.",
            )
        if member.method == zlib.DEFLATED and not member.encrypted and self.unpack is not None:
            if name not in self._unpacked:
                self._unpacked[name] = self.unpack(member)
            return make_record(name, 0, member.nbytes, member.crc32, self._unpacked[name])
        if member.method != 0 or member.encrypted:
            how = "encrypted" if member.encrypted else "compressed"
            raise CheckpointError(
                f"The archive's member {name[:200]} is {how}, which torch.save never does.",
                "Somebody packed it again: unpack the zip, and zip the same folder without "
                "compression.",
            )
        offset = self._data_offset(member)
        # torch.serialization.set_crc32_options(False) writes zeros instead of checksums.
        crc32 = member.crc32 if member.crc32 or member.nbytes == 0 else None
        return make_record(name, offset, member.nbytes, crc32, self.source)

    def every_record(self) -> Iterator[Record]:
        """The record of each member; a deflated one's is of its unpacked bytes.

        Raises CheckpointError.
        """
        for name, member in self.members.items():
            if self.unpack is None and member.method == zlib.DEFLATED and not member.encrypted:
                packed = Inflated(self.source, self._data_offset(member), member.nbytes, name)
                yield Record(name, 0, member.nbytes, member.crc32, packed)
            else:
                yield self.record(name)

    @property
    def is_deflated(self) -> bool:
        """Whether a member is compressed, as none is that torch.save wrote."""
        return any(member.method == zlib.DEFLATED for member in self.members.values())

    def _data_offset(self, member: Member) -> int:
        """The offset of a member's bytes, by its local header; raises CheckpointError."""
        name, start, nbytes, _, method, _ = member
        stored_name = name.encode()
        length = _LOCAL.size + len(stored_name)
        # The headers of small tensors lie close together, so one read serves many.
        header = self._window.read(start, length, more=nbytes < WINDOW // 4)
        if len(header) < length:
            raise _damaged(name)
        name_length, extra_length = _LOCAL_LENGTHS.unpack_from(header)
        if (
            not header.startswith(LOCAL_MAGIC)
            or name_length != len(stored_name)
            or not header.endswith(stored_name)
        ):
            raise _damaged(name)
        offset: int = start + length + extra_length
        if method == 0 and offset + nbytes > self.source.size:
            raise _damaged(name)
        return offset

    def span(self, member: Member) -> tuple[int, int]:
        """The offsets of a member's bytes and of the next member, or of the file's end.

        Raises CheckpointError where the bytes reach beyond that.
        """
        if not self._offsets:
            self._offsets = sorted(other.offset for other in self.members.values())
        start = self._data_offset(member)
        behind = bisect_left(self._offsets, start)
        stop = self._offsets[behind] if behind < len(self._offsets) else self.source.size
        if start + (member.nbytes if member.method == 0 else 0) > stop:
            raise _damaged(member.name)
        return start, stop

    def read(self, name: str, limit: int) -> bytes:
        """A small member's bytes.

        Raises CheckpointError, MoreThanLoupeReads where it has more than `limit`.
        """
        record = self.record(name)
        if record.nbytes > limit:
            raise MoreThanLoupeReads(f"its member {name[:200]} has more than {size_words(limit)}")
        return record.source.read(record.offset, record.nbytes)

    def peek(self, member: Member, limit: int) -> bytes:
        """A member's first bytes, unpacked; empty where it cannot be read."""
        try:
            offset = self._data_offset(member)
            if member.method == 0 and not member.encrypted:
                return self.source.read(offset, min(limit, member.nbytes))
            if member.method == zlib.DEFLATED and not member.encrypted:
                # A stream's first bytes may be its table of codes, and unpack to nothing.
                packed = self.source.read(offset, max(limit, 64))
                return zlib.decompressobj(RAW_DEFLATE).decompress(packed, limit)
        except (CheckpointError, zlib.error):
            pass
        return b""


def _damaged(name: str) -> CheckpointError:
    return CheckpointError(
        f"The archive's member {name[:200]} is not where the archive's directory says.",
        "The file is damaged: get it again from where it came from.",
    )


def zip_records(source: Source) -> Iterator[Record]:
    """The record of every member of a zip that was opened before.

    Raises CheckpointError, SourceError.
    """
    try:
        return open_archive(source).every_record()
    except NoDirectory as error:
        raise _unsound("its directory is missing") from error


def open_archive(source: Source) -> Archive:
    """Read a zip's directory.

    Raises NoDirectory where it has none, and CheckpointError where a member occurs twice, lies
    outside the file, or overlaps another.
    """
    start, nbytes, number = _directory(source)
    if start + nbytes > source.size:
        raise NoDirectory
    if nbytes > MAX_DIRECTORY:
        raise MoreThanLoupeReads(f"its directory has more than {size_words(MAX_DIRECTORY)}")
    data = source.read(start, nbytes)
    members: dict[str, Member] = {}
    spans: list[tuple[int, int, str]] = []
    unpack_from, new = _CENTRAL.unpack_from, tuple.__new__
    at = 0
    while at < len(data) and len(members) < number:
        if len(data) - at < _CENTRAL.size:
            raise NoDirectory
        (magic, flags, method, crc32, packed, size, name_length, extra_length, comment_length,
         offset) = unpack_from(data, at)  # fmt: skip
        if magic != b"PK\x01\x02":
            raise NoDirectory
        at += _CENTRAL.size
        name = data[at : at + name_length].decode("utf-8", "replace")
        at += name_length
        # 0xFFFFFFFF stands for a number of more than 32 bits, which is in the extra field.
        if packed == 0xFFFFFFFF or size == 0xFFFFFFFF or offset == 0xFFFFFFFF:
            extra = data[at : at + extra_length]
            size, packed, offset = _wide(extra, size, packed, offset)
        at += extra_length + comment_length
        if name in members:
            raise _unsound(f"it contains {name[:200]} twice")
        if offset + packed > source.size:
            raise _unsound(f"{name[:200]} lies outside it")
        if method == 0 and packed != size:
            raise _unsound(f"its directory states two sizes for {name[:200]}")
        # The same as Member(...), without the call of its Python-level __new__.
        members[name] = new(Member, (name, offset, size, crc32, method, flags & 1 == 1))
        spans.append((offset, offset + _LOCAL.size + name_length + packed, name))
    if len(members) != number:
        raise NoDirectory
    _refuse_overlaps(spans)
    return Archive(source, members)


def _refuse_overlaps(spans: list[tuple[int, int, str]]) -> None:
    end = 0
    for start, stop, name in sorted(spans):
        if start < end:
            raise _unsound(f"{name[:200]} overlaps another member")
        end = stop


def _unsound(why: str) -> CheckpointError:
    return CheckpointError(
        f"The archive is unsound: {why}.",
        "It is damaged, or was made to do harm: get it again from a source you trust.",
    )


def _directory(source: Source) -> tuple[int, int, int]:
    """The central directory's offset, its bytes, and its number of members."""
    # Without a comment, which torch.save never writes, the end record is the file's end.
    tail_start = max(0, source.size - _END.size)
    tail = source.read(tail_start, _END.size)
    if not tail.startswith(_END_MAGIC):
        tail_start = max(0, tail_start - MAX_COMMENT)
        tail = source.read(tail_start, source.size - tail_start)
    at = tail.rfind(_END_MAGIC)
    if at < 0 or len(tail) - at < _END.size:
        raise NoDirectory
    _, disk, first_disk, _, count, nbytes, start, _ = _END.unpack_from(tail, at)
    if disk not in (0, 0xFFFF) or first_disk not in (0, 0xFFFF):
        raise CheckpointError(
            f"The file is the last part of a zip that was split into {disk + 1}.",
            "Put all parts into one folder, join them with `zip -s 0 part.zip --out whole.zip`, "
            "and open that.",
        )
    locator_at = tail_start + at - _LOCATOR.size
    if locator_at >= 0:
        locator = source.read(locator_at, _LOCATOR.size)
        if locator.startswith(_LOCATOR_MAGIC):
            end64 = source.read(_LOCATOR.unpack(locator)[2], _END64.size)
            if len(end64) < _END64.size or not end64.startswith(_END64_MAGIC):
                raise NoDirectory
            _, _, _, _, _, _, _, count, nbytes, start = _END64.unpack(end64)
    return start, nbytes, count


def _wide(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The sizes and the offset, those that do not fit 32 bits taken from the zip64 extra field.

    Raises CheckpointError where the field is too short.
    """
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        at += 4
        if kind == 1:
            try:
                numbers = list(struct.unpack_from(f"<{length // 8}Q", extra, at))
                size = numbers.pop(0) if size == 0xFFFFFFFF else size
                packed = numbers.pop(0) if packed == 0xFFFFFFFF else packed
                offset = numbers.pop(0) if offset == 0xFFFFFFFF else offset
            except (struct.error, IndexError):
                raise _unsound("a 64-bit number in its directory is missing") from None
            break
        at += length
    return size, packed, offset


def local_data(source: Source, offset: int) -> tuple[str, int] | None:
    """The name and the data offset of the member whose local header is at `offset`, or None.

    For archives whose directory is missing.
    """
    member = local_member(source, offset)
    return None if member is None else member[:2]


def local_member(source: Source, offset: int) -> tuple[str, int, bool] | None:
    """As `local_data`, and whether the member is deflated."""
    raw = source.read(offset, _LOCAL.size)
    if len(raw) < _LOCAL.size or not raw.startswith(LOCAL_MAGIC):
        return None
    header = _LOCAL.unpack(raw)
    name = source.read(offset + _LOCAL.size, header[9])
    start = offset + _LOCAL.size + header[9] + header[10]
    return name.decode("utf-8", "replace"), start, header[3] == zlib.DEFLATED


def next_local(source: Source, after: int) -> int | None:
    """The offset of the next local header, after a member's data and its data descriptor."""
    distance = source.read(after, ALIGNMENT_SEARCH).find(LOCAL_MAGIC)
    return after + distance if distance >= 0 else None
