"""The places in a file where pickles may be: itself, members of archives in it, what is compressed.

It looks through archives in archives, compression, numpy's headers, and the texts in which
stable-baselines3 keeps pickles as base64. It reads the beginning of each place, within bounds.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from itertools import islice

from core.checkpoint.containers.inflated import RAW_DEFLATE
from core.checkpoint.containers.packed import compression_of
from core.checkpoint.containers.sources import InMemory, Within
from core.checkpoint.containers.tar_container import is_tar, tar_members
from core.checkpoint.containers.zip_container import (
    LOCAL_MAGIC,
    NoDirectory,
    local_member,
    open_archive,
)
from core.checkpoint.entries import Source
from core.errors import LoupeError

MAX_READ = 1 << 20
"""Bytes that are read of each place."""

MAX_MEMBERS = 64
"""Members of one archive that are looked at."""

MAX_DEPTH = 16
"""Archives and compressions inside of each other. The work bounds what is searched; this, how deep
the search calls itself."""

MAX_WORK = 32 << 20
"""Bytes that one search reads and unpacks."""

PLACE = 4096
"""Bytes that a place counts as besides those that are read of it: archives may be in each other."""

MEMBER = 64
"""Bytes that a member in an archive's directory counts as."""

HEAD = 512
"""Bytes by which a place is known to be worth a search: those of a tar's header."""

NUMPY_MAGIC = b"\x93NUMPY"

SERIALIZED = re.compile(rb'":serialized:":\s*"([A-Za-z0-9+/=\\n]{8,})"')
"""A pickle as base64, in the JSON of stable-baselines3 (common/save_util.py, data_to_json)."""

_STORAGE = re.compile(r"(?:[^/]*/)?(?:data|\.data)/\d+(?:\.storage)?")
"""The elements of a tensor in a zip of torch.save or a torch.package."""

_BEGINNINGS = re.compile(
    rb"\x80[\0-\5]|PK\x03\x04|\x1f\x8b\x08|x[\x01\x5e\x9c\xda]|BZh|\xfd7zXZ\0|\x93NUMPY"
)
"""A pickle of protocol 2 or later, a zip, gzip, zlib, bzip2, xz, an array of numpy."""

_OLD = re.compile(rb"[(c\]})ISVNLFXUTKMJG]")
"""The first opcode of protocols 0 and 1."""

_LINE = re.compile(rb"\n[\w.]++\n")
"""The second half of a name as they write it, which takes little time to find."""

_OLD_NAME = re.compile(rb"(?<![\w.])[abd-hj-zA-Z0-9_.]*+[ci][\w.]++\n[\w.]++\n")
"""A name as they write it, at any place. It looks at no byte more than twice."""

STREAM_MAGIC = (b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"L119547037146038801333356L\n.")
"""The body of the first pickle in a stream of torch.save, in protocol 2 and later, and in protocols
0 and 1."""

MAGIC_WITHIN = 11
"""Bytes that may precede it: PROTO, and FRAME with its length. Further on, it belongs to a stream
inside another pickle."""

_NUMPY_HEAD = 12
"""Bytes of a numpy file before its description (numpy/lib/format.py)."""


def may_have_pickles(data: bytes) -> bool:
    """Whether bytes begin like a pickle, or like a file in which one may be.

    Of protocols 0 and 1, whose first byte many other bytes have too, it looks for a name.
    """
    return (
        _BEGINNINGS.match(data) is not None
        or (_OLD.match(data) is not None and _has_old_name(data))
        or (len(data) >= HEAD and is_tar(data))
    )


def _has_old_name(data: bytes) -> bool:
    start = data[:MAX_READ]
    return _LINE.search(start) is not None and _OLD_NAME.search(start) is not None


def is_legacy(head: bytes) -> bool:
    """Whether a file's first bytes are those of a stream of torch.save, before PyTorch 1.6."""
    return any(0 <= head.find(magic) <= MAGIC_WITHIN for magic in STREAM_MAGIC)


@dataclass(slots=True)
class Search:
    """One search: the bytes that it may still read, and whether it left something out.

    `unread` has the members that it came to and did not read.
    """

    work: int = MAX_WORK
    unread: list[str] = field(default_factory=list)

    def places(
        self, source: Source, name: str = "", *, leave_out: Container[str] = (), depth: int = 0
    ) -> Iterator[tuple[str, bytes]]:
        """Each place in a file, with its first bytes.

        `name` is the file's own; the members in `leave_out` are not looked at.
        """
        head = source.read(0, HEAD)
        self.work -= PLACE
        if depth > MAX_DEPTH or self.work <= 0:
            self.unread.append(name)
        elif head.startswith(LOCAL_MAGIC):
            for member, part in self._members_of_zip(source, name, leave_out):
                yield from self.places(part, member, depth=depth + 1)
        elif is_tar(head):
            yield from self._members_of_tar(source, name, leave_out, depth)
        else:
            data = self._read(source, name)
            inner = _unpacked(data)
            if inner is not data:
                self.work -= len(inner)
                yield from self.places(InMemory(inner), name, depth=depth + 1)
                return
            yield name, data
            for match in SERIALIZED.finditer(data):
                text = match[1].replace(b"\\n", b"")
                yield name, b64decode(text + b"==")

    def _read(self, source: Source, name: str) -> bytes:
        data = source.read(0, min(MAX_READ, max(0, self.work)))
        self.work -= len(data)
        if len(data) < min(MAX_READ, source.size) or (
            len(data) < source.size and may_have_pickles(data)
        ):
            self.unread.append(name)
        return data

    def _members_of_tar(
        self, source: Source, name: str, leave_out: Container[str], depth: int
    ) -> Iterator[tuple[str, bytes]]:
        members = [each for each in tar_members(source) if each.name not in leave_out]
        self.work -= MEMBER * len(members)
        for member in members[:MAX_MEMBERS]:
            part = Within(source, member.offset, member.size)
            yield from self.places(part, _within(name, member.name), depth=depth + 1)
        self.unread += [_within(name, member.name) for member in members[MAX_MEMBERS:]]

    def _members_of_zip(
        self, source: Source, name: str, leave_out: Container[str]
    ) -> Iterator[tuple[str, Source]]:
        """The members by the directory, or one after another by their own headers without it.

        Both ignore the mark of encryption, which Python's own reader of zips needs and others do
        not.
        """
        try:
            members = open_archive(source).members.values()
            self.work -= MEMBER * len(members)
            spans = [
                (each.offset, each.nbytes, each.name)
                for each in members
                if each.name not in leave_out and not _STORAGE.fullmatch(each.name)
            ]
        except (LoupeError, NoDirectory):
            start = source.read(0, min(MAX_READ, max(0, self.work)))
            self.work -= len(start)
            matches = islice(re.finditer(re.escape(LOCAL_MAGIC), start), MAX_MEMBERS + 1)
            spans = [(match.start(), MAX_READ, "") for match in matches]
        self.unread += [_within(name, other) for _, _, other in spans[MAX_MEMBERS:]]
        for offset, nbytes, _ in spans[:MAX_MEMBERS]:
            member = local_member(source, offset)
            if member is None or member[1] > source.size:
                continue
            own, at, deflated = member
            folder, _, last = own.rpartition("/")
            place = name if last == "data.pkl" and "/" not in folder else _within(name, own)
            if not deflated:
                yield place, Within(source, at, min(nbytes, source.size - at))
                continue
            packed = source.read(at, min(MAX_READ, max(0, self.work)))
            data = _inflated(packed)
            self.work -= len(data)
            if len(data) < nbytes and may_have_pickles(data):
                self.unread.append(place)
            yield place, InMemory(data)


def _within(name: str, member: str) -> str:
    return f"{name}/{member}" if name else member


def _unpacked(data: bytes) -> bytes:
    """The bytes after a header of numpy, or unpacked, where they are a numpy file or compressed."""
    if data.startswith(NUMPY_MAGIC):
        short = data[6:7] == b"\x01"
        length = int.from_bytes(data[8:10] if short else data[8:_NUMPY_HEAD], "little")
        return data[(10 if short else _NUMPY_HEAD) + length :]
    compression = compression_of(data)
    if compression is None:
        return data
    try:
        return compression.make().decompress(data, MAX_READ)
    except compression.mistakes:
        return b""


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(RAW_DEFLATE).decompress(data, MAX_READ)
    except zlib.error:
        return b""
