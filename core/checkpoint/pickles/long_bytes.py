"""Copies a pickle without its long byte strings, which stay in the file until they are needed.

A plain pickle contains the bytes of its tensors between its opcodes; without them, it can be read
with little memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from core.checkpoint.containers.sources import Within
from core.checkpoint.containers.window import Window
from core.checkpoint.entries import Source
from core.checkpoint.pickles.inert import LongBytes, Opaque, Tree
from core.checkpoint.pickles.unpickler import PickleEndsEarly, PickleError, begins_like_pickle

LONG = 4096
"""The length from which a byte string stays in the file. A shorter one does too if it begins like a
pickle, as each storage in a plain pickle does."""

MAX_SHORT = 64 << 20
"""Bytes of a pickle without those byte strings."""

MAX_OPCODES = 600_000
"""Opcodes in one pickle; a tensor takes some thirty."""

_WIDTHS: Mapping[bytes, int] = {
    b"()N]}aeltdsu012boRQ.\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98": 0,
    b"Khq\x80\x82": 1,
    b"M\x83": 2,
    b"Jjr\x84": 4,
    b"G\x95": 8,
}
_FIXED = {op: width for ops, width in _WIDTHS.items() for op in ops}
"""The opcodes with an argument of fixed length, and its bytes (Lib/pickletools.py)."""

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
"""The most bytes of a line of text, as names and numbers of protocol 0 are written."""

MAX_QUOTED = 16 << 20
"""The most bytes of a line that is a string of Python 2. In protocol 0, the bytes of a numpy array
are one; a file of that protocol is not longer (MAX_OLD in plain_pickle.py)."""

_PUT = rb"(?:\x94|q.|r....|p\d{1,10}\n)?"  # MEMOIZE, BINPUT, LONG_BINPUT, PUT
_ARRAY_ENDS = re.compile(_PUT + b"t" + _PUT + b"b", re.DOTALL)
"""TUPLE and BUILD after the last item of an array's state."""

_STRING = 0x53
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

    def stand_in(self, identifier: Tree) -> Tree:
        """The value of a persistent id; one that was already in the file stays Opaque."""
        if type(identifier) is int and 0 <= identifier < len(self.runs):
            return LongBytes(self.runs[identifier])
        return Opaque("persistent id")


def without_long_bytes(source: Source) -> Shortened:
    """Copy a pickle, from the source's beginning to STOP, without its long byte strings.

    Raises PickleError where the bytes are not opcodes, and PickleEndsEarly where the source ends
    before STOP.
    """
    window = Window(source)
    pieces: list[bytes] = []
    runs: list[Within] = []
    at = copied = short = 0
    for _ in range(MAX_OPCODES):
        head = window.read(at, 9, more=True)
        if not head:
            raise PickleEndsEarly(*_sentences("it ends too early"))
        op = head[0]
        width = _FIXED.get(op)
        if width is not None:
            at += 1 + width
            if op == _STOP:
                break
            continue
        start, stop = _argument(window, at, head)
        if stop > source.size:
            raise PickleEndsEarly(*_sentences("it ends too early"))
        if _stays(window, op, start, stop):
            pieces += (source.read(copied, at - copied), _PERSISTENT % _number(len(runs)))
            runs.append(Within(source, start, stop - start))
            short += at - copied
            copied = stop
        at = stop
        if short + at - copied > MAX_SHORT:
            raise _broken("it contains more bytes besides its tensors than any checkpoint does")
    else:
        raise _broken("it has more opcodes than any checkpoint's")
    pieces.append(source.read(copied, at - copied))
    return Shortened(b"".join(pieces), tuple(runs), at)


def _argument(window: Window, at: int, head: bytes) -> tuple[int, int]:
    """The offsets of the argument of the opcode at `at`: its start, after its length, and end."""
    op = head[0]
    lines = _LINES.get(op, 0)
    stop = at + 1
    for _ in range(lines):
        most = MAX_LINE
        line = window.read(stop, most, more=True)
        while op == _STRING and b"\n" not in line and len(line) == most < MAX_QUOTED:
            most *= 8
            line = window.read(stop, most, more=False)
        length = line.find(b"\n") + 1
        if not length and len(line) < most:
            raise PickleEndsEarly(*_sentences("it ends too early"))
        if not length:
            raise _broken("a line in it is far too long")
        stop += length
    if lines:
        return stop, stop
    counted = _COUNTED.get(op)
    if counted is None:
        raise _broken(f"byte {at} is not an opcode")
    start = at + 1 + counted
    return start, start + int.from_bytes(head[1 : 1 + counted], "little")


def _stays(window: Window, op: int, start: int, stop: int) -> bool:
    """Whether an opcode's argument is a long byte string, which stays in the file."""
    if op in _BYTES:
        return stop - start >= LONG or begins_like_pickle(window.read(start, 2, more=True))
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
