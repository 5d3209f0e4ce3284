"""Looks into a refused file for pickles that its reader did not come to, and what they would run.

A reader stops at the first thing that is wrong. A program that is less careful may go on, or unpack
the file and load what is inside: so the names in there are told too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from core.checkpoint.containers.budget import bounded_work
from core.checkpoint.containers.inner_places import Search
from core.checkpoint.entries import Source
from core.checkpoint.pickles.global_verdicts import Verdict
from core.checkpoint.pickles.hidden import MAX_HIDDEN
from core.checkpoint.pickles.known_globals import AS_DATA
from core.checkpoint.pickles.ledger import Ledger
from core.checkpoint.pickles.unpickler import (
    Mentions,
    begins_like_pickle,
    no_persistent_ids,
    unpickle,
)
from core.checkpoint.readers.plain_pickle import names_in_streams
from core.checkpoint.readers.safetensors_reader import safetensors_end
from core.errors import CheckpointError, LoupeError, printable

MAX_OPERATIONS = 200_000
"""Opcodes that are read of each place."""

MAX_IN_A_ROW = 100
"""Pickles that are read one after another."""

BEHIND_TENSORS = "the bytes after the last tensor"
"""The place of a pickle that no reader of safetensors comes to."""

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
    end = safetensors_end(source)
    if end is not None:
        found = look_at(source.read(end, MAX_HIDDEN), BEHIND_TENSORS)
        yield replace(found, runs=False)
        return
    for place, data in Search().places(source):
        yield look_at(data, place)


def look_at(data: bytes, place: str) -> Found:
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
