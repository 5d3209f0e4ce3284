"""Digests of all that a tree contains besides its tensors: equal only for equal contents, also of
what the metadata shows in part or not at all."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from types import NoneType
from typing import Any

from core.checkpoint.pickles.inert import (
    Global,
    InertArray,
    InertDict,
    InertDtype,
    InertSubclass,
    InertTensor,
    InlineStorage,
    Key,
    LongBytes,
    LongNumber,
    Opaque,
    Storage,
    Tree,
    UnusualKey,
)

NOTHING = b""
"""The digest of what contains only tensors: those are compared by themselves."""

SHORT = 32
"""Bytes of a value that stands for itself; of a longer one the digest does."""

PIECE = 1 << 20
"""Bytes of a long byte string that are read at once."""

_Parts = Iterable[tuple[bytes, Tree]]
"""Children, each with the bytes that say where it is in its container."""


class Fingerprints:
    """Makes digests of the values of trees, which must stay in memory meanwhile.

    Numbers, texts and keys of different types have different digests, and so have tuples and lists.
    The order of a dict's keys and of a set's members does not matter, nor that an object is shared.
    Tensors and the elements of numeric arrays have none; they are compared as such.

    Of long byte strings that stayed in their file, `most` bytes are read (None: all). `unread`
    counts the bytes of those beyond: of them the digest has the size alone.
    """

    def __init__(self, most: int | None = None) -> None:
        self.unread = 0
        self._most = most
        self._digests: dict[int, bytes] = {}
        self._pairs: list[Tree] = []

    def of(self, tree: Tree) -> bytes:
        """The digest of a value. Raises SourceError where its bytes are gone."""
        known = self._known(tree)
        if known is not None:
            return known
        frames = [self._frame(tree)]
        levels = {id(tree): 1}
        while True:
            frame = frames[-1]
            for place, child in frame.rest:
                digest = self._known(child)
                if digest is None and id(child) in levels:
                    # It contains itself: how far above it is says which of them.
                    digest = b"^%d" % (len(frames) - levels[id(child)])
                if digest is None:
                    frame.place = place
                    frames.append(self._frame(child))
                    levels[id(child)] = len(frames)
                    break
                frame.add(place, digest)
            else:
                frames.pop()
                del levels[id(frame.value)]
                digest = self._digests[id(frame.value)] = frame.digest()
                if not frames:
                    return digest
                frames[-1].add(frames[-1].place, digest)

    def _known(self, value: Tree) -> bytes | None:
        """The digest of a value without children, or of one that was seen before."""
        digest_of = _LEAVES.get(type(value))  # most values of a tree are numbers and texts
        digest = None if digest_of is None else digest_of(value)
        if digest is None:
            digest = self._digests.get(id(value))
        if digest is None and isinstance(value, LongBytes):
            digest = self._digests[id(value)] = self._of_long(value)
        return digest

    def _of_long(self, value: LongBytes) -> bytes:
        source = value.source
        if self._most is not None:
            if source.size > self._most:
                self.unread += source.size
                return b"?%d" % source.size
            self._most -= source.size
        digest = blake2b(digest_size=SHORT)
        for at in range(0, source.size, PIECE):
            digest.update(source.read(at, PIECE))
        # That of the same bytes in memory.
        return b"y" + (source.read(0, SHORT) if source.size <= SHORT else digest.digest())

    def _frame(self, value: Tree) -> _Frame:
        if isinstance(value, dict):
            return _Frame(value, b"d", self._items(value), ordered=False)
        if isinstance(value, list | tuple):
            tag = b"l" if isinstance(value, list) else b"t"
            return _Frame(value, tag, ((b"", item) for item in value))
        if isinstance(value, set):
            return _Frame(value, b"e", ((b"", _unwrapped(key)) for key in value), ordered=False)
        if isinstance(value, InertSubclass):
            tag = b"n" + value.name.encode("utf-8", "surrogatepass")
            return _Frame(value, tag, [(b"", value.state)])
        if isinstance(value, InertDtype):
            return _Frame(value, _dtype_tag(value), [(b"", value.fields)], alone=True)
        if isinstance(value, InertArray):
            tag = b"a%a" % (value.shape,)
            parts = [(b"", value.dtype), (b"", value.objects)]
            return _Frame(value, tag, parts, alone=True)
        assert isinstance(value, Opaque)
        tag = b"o" + value.name.encode("utf-8", "surrogatepass")
        return _Frame(value, tag, _in_object(value), alone=True)

    def _items(self, value: Mapping[Key, Tree]) -> Iterator[tuple[bytes, Tree]]:
        for key, item in value.items():
            if type(item) is InertTensor:
                continue
            place = _leaf(key)
            if place:
                yield place, item
            else:
                # A key with contents of its own counts as a value.
                pair = (_unwrapped(key), item)
                self._pairs.append(pair)
                yield b"", pair


def _in_object(value: Opaque) -> Iterator[tuple[bytes, Tree]]:
    parts = (
        (b"state", value.state), (b"items", value.items), (b"args", value.args),
        (b"elements", value.elements),
    )  # fmt: skip
    return ((place, part) for place, part in parts if part is not None and part not in ({}, (), []))


class _Frame:
    """A container whose children are being digested. `alone` says that it says something without
    any, as the name of an object's class does."""

    __slots__ = ("alone", "ordered", "parts", "place", "rest", "tag", "value")

    def __init__(
        self, value: Tree, tag: bytes, parts: _Parts, *, ordered: bool = True, alone: bool = False
    ) -> None:
        self.value, self.tag, self.rest = value, tag, iter(parts)
        self.ordered, self.alone = ordered, alone
        self.place = b""
        self.parts: list[bytes] = []

    def add(self, place: bytes, digest: bytes) -> None:
        """Add a child's digest. What contains only tensors keeps its place in a list."""
        if digest != NOTHING or self.ordered:
            self.parts.append(b"%d %d %b%b" % (len(place), len(digest), place, digest))
            if digest != NOTHING:
                self.alone = True

    def digest(self) -> bytes:
        """That of the container."""
        if not self.alone:
            return NOTHING
        parts = self.parts if self.ordered else sorted(self.parts)
        return b"#" + _hashed(b"%d %b" % (len(self.tag), self.tag) + b"".join(parts))


def _leaf(value: Tree) -> bytes | None:
    """The digest of a value without children; None for another."""
    digest_of = _LEAVES.get(type(value))
    return None if digest_of is None else digest_of(value)


def _of_text(tag: bytes, text: str) -> bytes:
    return _short(tag, text.encode("utf-8", "surrogatepass"))


def _of_dtype(value: InertDtype) -> bytes | None:
    return _short(b"w", _dtype_tag(value)) if value.fields is None else None


def _dtype_tag(value: InertDtype) -> bytes:
    return b"w%a" % ((value.code, value.big_endian, value.unit),)


def _of_array(value: InertArray) -> bytes | None:
    """Nothing for an array whose bytes say it all. Those of a date do not say its unit, and those
    of a record not its fields."""
    dtype = value.dtype
    plain = dtype is None or not (dtype.unit or dtype.fields)
    return NOTHING if value.data is not None and plain else None


def _of_empty(tag: bytes, value: Collection[object]) -> bytes | None:
    """That of a container without children, of which a module has a dozen."""
    return None if value else tag


_LEAVES: Mapping[type, Callable[[Any], bytes | None]] = {
    str: partial(_of_text, b"s"),
    NoneType: lambda _: b"c",
    bool: lambda value: b"c%d" % value,
    int: lambda value: _short(b"i", b"%x" % value),
    float: lambda value: b"f" + struct.pack("<d", value),
    complex: lambda value: b"j" + struct.pack("<dd", value.real, value.imag),
    bytes: lambda value: _short(b"y", value),
    InertTensor: lambda _: NOTHING,
    Storage: lambda _: NOTHING,
    InlineStorage: lambda _: NOTHING,
    InertArray: _of_array,
    Global: lambda value: _of_text(b"g", value.name),
    InertDtype: _of_dtype,
    LongNumber: lambda value: b"i" + value.digest,
    dict: partial(_of_empty, b"d"),
    InertDict: partial(_of_empty, b"d"),
    list: partial(_of_empty, b"l"),
    tuple: partial(_of_empty, b"t"),
    set: partial(_of_empty, b"e"),
}


def _unwrapped(key: Key) -> Tree:
    return key.value if isinstance(key, UnusualKey) else key


def _short(tag: bytes, value: bytes) -> bytes:
    return tag + (value if len(value) <= SHORT else _hashed(value))


def _hashed(value: bytes) -> bytes:
    return blake2b(value, digest_size=SHORT).digest()
