"""Looks into a refused file for pickles that its reader did not come to, and what they would run.

A reader stops at the first thing that is wrong. A program that is less careful may go on, or unpack
the file and load what is inside: so the names in there are told too.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from core.checkpoint.containers.budget import bounded_work
from core.checkpoint.containers.inflated import RAW_DEFLATE
from core.checkpoint.containers.packed import compression_of
from core.checkpoint.containers.tar_container import is_tar, tar_members
from core.checkpoint.containers.zip_container import (
    LOCAL_MAGIC,
    NoDirectory,
    local_member,
    open_archive,
)
from core.checkpoint.entries import Source
from core.checkpoint.pickles.global_verdicts import Verdict
from core.checkpoint.pickles.known_globals import AS_DATA
from core.checkpoint.pickles.ledger import Ledger
from core.checkpoint.pickles.unpickler import (
    Mentions,
    begins_like_pickle,
    no_persistent_ids,
    unpickle,
)
from core.checkpoint.readers.plain_pickle import names_in_streams
from core.errors import CheckpointError, LoupeError, printable

MAX_READ = 1 << 20
"""Bytes that are read of each place."""

MAX_MEMBERS = 64
"""Members of an archive that are looked at."""

MAX_OPERATIONS = 200_000
"""Opcodes that are read of each place."""

MAX_IN_A_ROW = 100
"""Pickles that are read one after another."""

NUMPY_MAGIC = b"\x93NUMPY"

_HEAD = 12
"""Bytes of a numpy file before its description (numpy/lib/format.py)."""

_LINES = re.compile(rb"[ci]([\w.]{1,100})\n([\w.]{1,100})\n")
"""GLOBAL and INST."""

_STRINGS = re.compile(
    rb"(?:\x8c.|X.\0\0\0)([\w.]{1,100})(?:\x94|q.|r....)?(?:\x8c.|X.\0\0\0)([\w.]{1,100})"
    rb"(?:\x94|q.|r....)?\x93",
    re.DOTALL,
)
"""STACK_GLOBAL after the two texts that it takes."""


@dataclass(frozen=True, slots=True)
class Found:
    """Dangerous names in a pickle of a refused file.

    `place` is the archive's member that contains it, empty for the file itself. `runs` says that a
    loader comes to them; else they stand behind something at which Python stops too.
    """

    names: tuple[str, ...]
    place: str = ""
    runs: bool = True


def look_for_pickles(source: Source) -> Found | None:
    """The first pickle in a file that names something dangerous; None if none was found.

    It reads the start of the file, or of each of an archive's members.
    """
    with bounded_work():
        try:
            return next((found for found in _looks(source) if found.names), None)
        except LoupeError:
            return None


def _looks(source: Source) -> Iterator[Found]:
    head = source.read(0, MAX_READ)
    for place, data in _places(source, head):
        yield _look(_unpacked(data), place)


def _places(source: Source, head: bytes) -> Iterator[tuple[str, bytes]]:
    """Each place in the file, with its first bytes."""
    if head.startswith(LOCAL_MAGIC):
        yield from _members_of_zip(source)
    elif is_tar(head):
        for member in tar_members(source)[:MAX_MEMBERS]:
            yield member.name, source.read(member.offset, min(member.size, MAX_READ))
    else:
        yield "", head


def _members_of_zip(source: Source) -> Iterator[tuple[str, bytes]]:
    """The members by the directory, or one after another by their own headers without it.

    Both ignore the mark of encryption, which Python's own reader of zips needs and others do not.
    """
    try:
        offsets = [member.offset for member in open_archive(source).members.values()]
    except (LoupeError, NoDirectory):
        start = source.read(0, MAX_READ)
        offsets = [match.start() for match in re.finditer(re.escape(LOCAL_MAGIC), start)]
    for offset in offsets[:MAX_MEMBERS]:
        member = local_member(source, offset)
        if member is not None:
            name, at, deflated = member
            data = source.read(at, MAX_READ)
            folder, _, last = name.rpartition("/")
            place = "" if last == "data.pkl" and "/" not in folder else name
            yield place, _inflated(data, RAW_DEFLATE) if deflated else data


def _unpacked(data: bytes) -> bytes:
    """The bytes after a header of numpy, or unpacked, where they are a numpy file or compressed."""
    if data.startswith(NUMPY_MAGIC):
        short = data[6:7] == b"\x01"
        length = int.from_bytes(data[8:10] if short else data[8:_HEAD], "little")
        return data[(10 if short else _HEAD) + length :]
    compression = compression_of(data)
    if compression is None:
        return data
    try:
        return compression.make().decompress(data, MAX_READ)
    except compression.mistakes:
        return b""


def _inflated(data: bytes, wbits: int) -> bytes:
    try:
        return zlib.decompressobj(wbits).decompress(data, MAX_READ)
    except zlib.error:
        return b""


def _look(data: bytes, place: str) -> Found:
    """What the pickles in some bytes name, and what stands like a name behind the place where the
    first of them breaks.

    Text may look like a pickle for a few opcodes: where the first byte does not show one, only
    names that are called count.
    """
    certain = begins_like_pickle(data)
    mentions = Mentions(place, Ledger())
    too_new = data[:1] == b"\x80" and not certain
    at = 2 if too_new else 0
    for _ in range(MAX_IN_A_ROW):
        if at >= len(data):
            break
        try:
            read = unpickle(
                data, mentions, no_persistent_ids, at, MAX_OPERATIONS, names_in_streams(mentions)
            )
        except CheckpointError:
            break
        at = read.end
    names = _dangerous(mentions)
    if not certain:
        names = tuple(name for name in names if name in mentions.called)
    if names or not (certain or too_new):
        return Found(names, place, not too_new)
    return Found(_written_names(data), place, runs=False)


def _written_names(data: bytes) -> tuple[str, ...]:
    """The dangerous names that some bytes contain as a pickle writes them."""
    mentions = Mentions("", Ledger())
    for pattern in (_LINES, _STRINGS):
        for module, name in set(pattern.findall(data)):
            qualified = f"{module.decode('latin-1')}.{name.decode('latin-1')}"
            if qualified not in AS_DATA:  # what it is used for is not known here
                mentions.add(qualified)
    return _dangerous(mentions)


def _dangerous(mentions: Mentions) -> tuple[str, ...]:
    uses = mentions.judged()
    return tuple(printable(use.name) for use in uses if use.verdict is Verdict.DANGEROUS)
