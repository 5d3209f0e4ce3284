"""Copies a pickle without its long byte strings, which stay in the file until they are needed.

A plain pickle contains the bytes of its tensors between its opcodes, and one of torch.save those of
numpy arrays; without them, it can be read with little memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import NamedTuple

from core.checkpoint.containers.budget import BYTES_PER_OPERATION, work_left
from core.checkpoint.containers.inner_places import HEAD, may_have_pickles
from core.checkpoint.containers.sources import Within
from core.checkpoint.containers.window import Window
from core.checkpoint.entries import Source
from core.checkpoint.pickles.inert import LongBytes, Tree
from core.checkpoint.pickles.unpickler import (
    MAX_INNER,
    Mentions,
    PickleEndsEarly,
    PickleError,
    PickleTooLarge,
    Unpickled,
    begins_like_pickle,
    unpickle,
)
from core.wording import count, size

LONG = 4096
"""The length from which a byte string stays in the file. A shorter one does too if it begins like a
pickle, as each storage in a plain pickle does."""

MAX_SHORT = 256 << 20
"""Bytes of a pickle without those byte strings."""

LONG_TEXT = 64 << 10
"""The length from which a text that stands for bytes stays in the file."""

AHEAD = 1 << 20
"""Bytes of opcodes that are read at once."""

_WIDTHS: Mapping[bytes, int] = {
    b"()N]}aeltdsu012boRQ.\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98": 0,
    b"Khq\x80\x82": 1,
    b"M\x83": 2,
    b"Jjr\x84": 4,
    b"G\x95": 8,
}
_FIXED = [next((width for ops, width in _WIDTHS.items() if op in ops), -1) for op in range(256)]
"""By opcode, the bytes of an argument of fixed length (Lib/pickletools.py); −1 for the others."""

_LINES = {**dict.fromkeys(b"ILSVFgpP", 1), **dict.fromkeys(b"ci", 2)}
"""The opcodes whose argument is text, and its number of lines."""

_COUNTED = {
    **dict.fromkeys(b"\x8aU\x8cC", 1),
    **dict.fromkeys(b"\x8bTBX", 4),
    **dict.fromkeys(b"\x8e\x96\x8d", 8),
}
"""The opcodes whose argument begins with its own length, and the bytes of that length."""

_BYTES = frozenset(b"CB\x8e\x96")
"""SHORT_BINBYTES, BINBYTES, BINBYTES8 and BYTEARRAY8."""

_OLD_BYTES = frozenset(b"UT")
"""SHORT_BINSTRING and BINSTRING, the strings of Python 2: at the end of a numpy array's state they
are its bytes."""

MAX_LINE = 8192
"""The most bytes of another line of text, as names are written."""

MAX_QUOTED = 16 << 20
"""The most bytes of a line that is a text or a number. In protocol 0, the bytes of a numpy array
are one; a file of that protocol is not longer (MAX_OLD in plain_pickle.py)."""

_PUT = rb"(?:\x94|q.|r....|p\d{1,10}\n)?"  # MEMOIZE, BINPUT, LONG_BINPUT, PUT
_ARRAY_ENDS = re.compile(_PUT + b"t" + _PUT + b"b", re.DOTALL)
"""TUPLE and BUILD after the last item of an array's state."""

_TEXTS = frozenset(b"X\x8d")
"""BINUNICODE and BINUNICODE8. In protocol 2 bytes are a text, a call of _codecs.encode with it and
the name of Latin-1, which follows as a text or out of the memo."""

_ENCODED = re.compile(
    _PUT + rb"(?:h.|j....|X\x06\0\0\0latin1" + _PUT + rb")\x86" + _PUT + b"R", re.DOTALL
)

_LONG_LINES = b"ILSV"
"""INT, LONG, STRING and UNICODE, whose lines may be long."""
_STOP = 0x2E
_PERSISTENT = b"J%bQ"
"""BININT and BINPERSID."""


class Shortened(NamedTuple):
    """A pickle in which a persistent id replaces each long byte string: its number in `runs`.

    `end` is the offset in the source at which the original pickle ends.
    """

    data: bytes
    runs: tuple[Within, ...]
    end: int

    def resolver(self, persistent: Callable[[Tree], Tree]) -> Callable[[Tree], Tree]:
        """A function for the persistent ids; those in the file itself go to `persistent`."""

        def resolve(identifier: Tree) -> Tree:
            if type(identifier) is int and 0 <= identifier < len(self.runs):
                return LongBytes(self.runs[identifier])
            return persistent(identifier)

        return resolve


def unpickle_in_place(
    source: Source, mentions: Mentions, persistent: Callable[[Tree], Tree]
) -> Unpickled:
    """Read a long pickle of torch.save from the source's beginning, as `unpickle` does.

    Its long byte strings stay in the source, also those in `inner`.
    """
    short = without_long_bytes(source)
    read = unpickle(short.data, mentions, short.resolver(persistent))
    inner = islice((run for run in short.runs if may_have_pickles(run.read(0, HEAD))), MAX_INNER)
    return Unpickled(read.tree, short.end, (*read.inner, *inner))


def without_long_bytes(source: Source) -> Shortened:
    """Copy a pickle, from the source's beginning to STOP, without its long byte strings.

    Raises PickleError where the bytes are not opcodes, PickleEndsEarly where the source ends
    before STOP, and PickleTooLarge where the copy would be too large.
    """
    window = Window(source)
    pieces: list[bytes] = []
    runs: list[Within] = []
    fixed, work = _FIXED, work_left()
    most = work.operations + min(source.size, work.growth) // BYTES_PER_OPERATION
    at = copied = short = opcodes = 0
    data, start, end = b"", 0, 0  # the bytes around `at`, where they begin and where they end
    while True:
        if at >= end:
            data, start = source.read(at, AHEAD), at
            end = start + len(data)
            if not data:
                raise PickleEndsEarly(*_sentences("it ends too early"))
        op = data[at - start]
        opcodes += 1
        if opcodes > most:
            raise PickleTooLarge(f"a pickle in it has more than {count(most)} opcodes")
        width = fixed[op]
        if width >= 0:
            at += 1 + width
            if op == _STOP:
                break
            continue
        first, stop = _argument(window, at, data[at - start : at - start + 9])
        if stop > source.size:
            raise PickleEndsEarly(*_sentences("it ends too early"))
        if _stays(window, op, first, stop):
            pieces += (source.read(copied, at - copied), _PERSISTENT % _number(len(runs)))
            runs.append(Within(source, first, stop - first))
            short += at - copied
            copied = stop
        at = stop
        if short + at - copied > MAX_SHORT:
            raise PickleTooLarge(f"its pickle has more than {size(MAX_SHORT)} besides its tensors")
    pieces.append(source.read(copied, at - copied))
    return Shortened(b"".join(pieces), tuple(runs), at)


def _argument(window: Window, at: int, head: bytes) -> tuple[int, int]:
    """The offsets of the argument of the opcode at `at`: its start, after its length, and end.

    `head` has the opcode and some of the bytes behind it.
    """
    op = head[0]
    lines = _LINES.get(op, 0)
    stop = at + 1
    for _ in range(lines):
        most = MAX_LINE
        line = window.read(stop, most, more=True)
        while op in _LONG_LINES and b"\n" not in line and len(line) == most < MAX_QUOTED:
            most *= 8
            line = window.read(stop, most, more=False)
        length = line.find(b"\n") + 1
        if not length and len(line) < most:
            raise PickleEndsEarly(*_sentences("it ends too early"))
        if not length:
            raise PickleTooLarge(f"a line in its pickle has more than {size(most)}")
        stop += length
    if lines:
        return stop, stop
    counted = _COUNTED.get(op)
    if counted is None:
        raise _broken(f"byte {at} is not an opcode")
    if len(head) <= counted:
        head = window.read(at, 1 + counted, more=True)
    start = at + 1 + counted
    return start, start + int.from_bytes(head[1 : 1 + counted], "little")


def _stays(window: Window, op: int, start: int, stop: int) -> bool:
    """Whether an opcode's argument is a long byte string, which stays in the file."""
    if op in _BYTES:
        return stop - start >= LONG or begins_like_pickle(window.read(start, 2, more=True))
    if op in _TEXTS:
        behind = window.read(stop, 32, more=True) if stop - start >= LONG_TEXT else b""
        return _ENCODED.match(behind) is not None
    if op in _OLD_BYTES:
        behind = window.read(stop, 32, more=True)
        return _ARRAY_ENDS.match(behind) is not None
    return False


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _broken(why: str) -> PickleError:
    return PickleError(*_sentences(why))


def _sentences(why: str) -> tuple[str, str]:
    return (
        f"The pickle is damaged: {why}.",
        "Get the file again from where it came from, and compare its size.",
    )
