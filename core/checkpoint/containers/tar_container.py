"""The files of a tar archive, from its headers alone: nothing is unpacked, no link is followed.

Layout: POSIX.1-1988 ustar (a header of 512 bytes: name at 0, size at 124, checksum at 148, type at
156, prefix at 345), GNU's long names (type L) and POSIX.1-2001's records (type x).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from core.checkpoint.containers.budget import MoreThanLoupeReads
from core.checkpoint.entries import Source
from core.errors import CheckpointError
from core.wording import count
from core.wording import size as size_words

BLOCK = 512
"""Bytes of a header; members begin at multiples of it (POSIX.1-1988)."""

MAX_MEMBERS = 20_000
"""The most members of one archive, folders and links included."""

MAX_EXTENSION = 64 << 10
"""The most bytes of a long name, or of a member's pax records."""

UNPACK = "Unpack it, and open what is inside."
"""What to do about an archive that goes beyond a limit."""

_FILES = frozenset((b"0", b"\0", b"7"))
"""The types of regular files: today's, the one before POSIX, and a contiguous one."""

_GLOBAL = b"g"
"""The type of records on the whole archive (POSIX.1-2001), which git archive writes."""

_RECORD = re.compile(rb"\d{1,5} (path|size)=([^\n]*)\n")
"""The pax records that matter here: a name or a size that a header is too small for."""


class TarMember(NamedTuple):
    """A regular file in the archive; `offset` is that of its first byte in the source."""

    name: str
    offset: int
    size: int


def is_tar(head: bytes) -> bool:
    """Whether a file's first bytes are a tar header, by its checksum."""
    return len(head) >= BLOCK and head[0] != 0 and _checksum_is_right(head[:BLOCK])


def tar_members(source: Source) -> list[TarMember]:
    """The regular files of a tar, in its order.

    Raises CheckpointError where the archive is damaged or cut off, and SourceError.
    """
    return list(_walk(source))


def _walk(source: Source) -> Iterator[TarMember]:
    at = 0
    extended: dict[bytes, bytes] = {}  # what types L and x say about the next member
    for _ in range(MAX_MEMBERS):
        header = source.read(at, BLOCK)
        if len(header) < BLOCK or header.count(0) == BLOCK:
            return
        if not _checksum_is_right(header):
            raise _damaged("a header in it is damaged")
        size = _number(header[124:136])
        kind = header[156:157]
        name = extended.get(b"path") or _name(header)
        if b"size" in extended:
            size = _decimal(extended[b"size"])
        start = at + BLOCK
        if size > source.size - start:
            raise CheckpointError(
                f"The tar archive is cut off: it ends within {_text(name)}.",
                "The download or the copy broke off: get it again, and compare its size.",
            )
        if kind in (b"L", b"x"):
            if size > MAX_EXTENSION:
                raise MoreThanLoupeReads(
                    f"a name in it has more than {size_words(MAX_EXTENSION)}", UNPACK
                )
            data = source.read(start, size)
            records = {b"path": data.rstrip(b"\0")} if kind == b"L" else dict(_RECORD.findall(data))
            extended |= records
        else:
            if kind in _FILES:
                yield TarMember(_text(name), start, size)
            if kind != _GLOBAL:
                extended = {}
        at = start + -(-size // BLOCK) * BLOCK
    raise MoreThanLoupeReads(f"it has more than {count(MAX_MEMBERS)} members", UNPACK)


def _checksum_is_right(header: bytes) -> bool:
    stored = header[148:156].strip(b"\0 ")
    # The checksum is computed as if its own eight bytes were spaces (0x20).
    if not re.fullmatch(rb"[0-7]{1,8}", stored):
        return False
    return int(stored, 8) == sum(header) - sum(header[148:156]) + 8 * 0x20


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _number(field: bytes) -> int:
    """A field's number: octal text, or binary where the first bit is set (GNU's base-256)."""
    if field[0] & 0x80:
        return int.from_bytes(field, "big") & ~(0x80 << 88)
    text = field.strip(b"\0 ")
    if not re.fullmatch(rb"[0-7]{0,12}", text):
        raise _damaged("a size in it is not a number")
    return int(text or b"0", 8)


def _decimal(text: bytes) -> int:
    if not re.fullmatch(rb"\d{1,18}", text):
        raise _damaged("a size in it is not a number")
    return int(text)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace").removeprefix("./")[:1024]


def _damaged(why: str) -> CheckpointError:
    return CheckpointError(
        f"The tar archive is unsound: {why}.", "Get it again from where it came from."
    )
