"""What differs in two files besides their tensors, and does so where the metadata does not show it:
far down a long list, in bytes, in the type of a key or of a value."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable
from itertools import chain
from typing import NamedTuple

from core.checkpoint.pickles import (
    Global,
    InertArray,
    InertSubclass,
    Key,
    LongBytes,
    Names,
    Opaque,
    Tree,
    UnusualKey,
    key_kind,
    text_of,
)
from core.checkpoint.tree import MAX_KEY, NOTHING, Fingerprints, Json
from core.compare.metadata.metadata_diff import ChangeKind, MetadataChange
from core.wording import count, counted, shape

MAX_CHANGES = 1_000
"""The most changes that are listed."""

MAX_TEXT = 200
"""Characters of a text up to which a change has the text itself."""

SHOWN = 12
"""Hexadecimal digits of a digest that are shown."""

Path = tuple[str, ...]


def unshown_changes(
    a: Tree,
    b: Tree,
    shown: Iterable[MetadataChange],
    digests_a: Fingerprints,
    digests_b: Fingerprints,
) -> list[MetadataChange]:
    """The changes from tree A to tree B besides those that are `shown`, the first MAX_CHANGES.

    Values without a form in JSON are described, with a digest where nothing else tells them apart.
    Raises SourceError where bytes are gone.
    """
    search = _Search({change.path for change in shown}, digests_a, digests_b)
    seen: set[tuple[int, int]] = set()
    rest = [_Pair(() if isinstance(a, dict | Opaque) else ("value",), a, b)]
    while rest and len(search.found) < MAX_CHANGES:
        pair = rest.pop()
        if search.differs(pair) and (id(pair.a), id(pair.b)) not in seen:
            seen.add((id(pair.a), id(pair.b)))
            rest.extend(reversed(search.below(pair)))
    return search.found[:MAX_CHANGES]


class _Pair(NamedTuple):
    """Two values at one path."""

    path: Path
    a: Tree
    b: Tree


class _Child(NamedTuple):
    """A value in another, its key, and its name in a path."""

    name: str
    key: Key
    value: Tree

    def named(self, others: Collection[str]) -> str:
        """The name; with its type where another file has one that reads alike."""
        is_text = type(self.key) is str
        return (
            self.name
            if is_text or self.name not in others
            else f"{self.name} ({key_kind(self.key)})"
        )


class _Search:
    """Collects the changes that are `found`, besides those whose paths are `shown`."""

    def __init__(self, shown: set[Path], of_a: Fingerprints, of_b: Fingerprints) -> None:
        self.found: list[MetadataChange] = []
        self._shown = shown
        self._above_shown = {path[:end] for path in shown for end in range(len(path))}
        self._of_a, self._of_b = of_a, of_b

    def differs(self, pair: _Pair) -> bool:
        """Whether two values differ in a way that is not shown for themselves."""
        return pair.path not in self._shown and self._of_a.of(pair.a) != self._of_b.of(pair.b)

    def below(self, pair: _Pair) -> list[_Pair]:
        """The values in two others that may be why they differ. Where these differ by themselves,
        or one contains what the other lacks, that is added to what is found."""
        path, a, b = pair
        children_a, children_b = _children(a, self._of_a), _children(b, self._of_b)
        if _sort_of(a) != _sort_of(b) or not (children_a or children_b):
            if path not in self._above_shown:
                self._add(path, ChangeKind.CHANGED, *self._both(a, b))
            return []
        moved = isinstance(a, list | tuple) and len(children_a) != len(children_b)
        if moved and path in self._above_shown:
            return []  # an item that was inserted is shown, and those behind it only moved
        names_a = {child.name for child in children_a.values()}
        names_b = {child.name for child in children_b.values()}
        for place, child in children_a.items():
            if place not in children_b:
                name = child.named(names_b)
                self._add((*path, name), ChangeKind.REMOVED, _json(child.value), None)
        for place, child in children_b.items():
            if place not in children_a:
                name = child.named(names_a)
                self._add((*path, name), ChangeKind.ADDED, None, _json(child.value))
        return [
            _Pair((*path, child.name), child.value, children_b[place].value)
            for place, child in children_a.items()
            if place in children_b
        ]

    def _add(self, path: Path, kind: ChangeKind, before: Json, after: Json) -> None:
        if path not in self._shown:
            self.found.append(MetadataChange(path, kind, before, after))

    def _both(self, a: Tree, b: Tree) -> tuple[Json, Json]:
        """Two values that differ, so written that they read differently."""
        before, after = _json(a), _json(b)
        if before != after or type(before) is not type(after):
            return before, after
        before, after = _words(a), _words(b)
        if before != after:
            return before, after
        return f"{before}, {_shown(self._of_a.of(a))}", f"{after}, {_shown(self._of_b.of(b))}"


def _shown(digest: bytes) -> str:
    return f"digest {digest.hex()[-SHOWN:]}"


def _children(value: Tree, digests: Fingerprints) -> dict[Hashable, _Child]:
    """The values in another that are not only tensors, each by what is equal only for the same key
    or index; a set's members have neither."""
    if isinstance(value, InertArray):
        return _children(value.objects, digests)
    if isinstance(value, InertSubclass):
        children = [_Child("state", "state", value.state)]
    elif isinstance(value, list | tuple):
        children = [_Child(str(index), index, item) for index, item in enumerate(value)]
    elif isinstance(value, dict):
        children = _by_key(value.items(), value)
    elif isinstance(value, Opaque):
        state = value.state if isinstance(value.state, dict) else {}
        children = _by_key(chain(state.items(), value.items.items()))
        parts = (("args", value.args), ("items", value.elements))
        children += [_Child(name, name, items) for name, items in parts if items]
        if value.state is not None and not isinstance(value.state, dict):
            children.append(_Child("state", "state", value.state))
    else:
        children = []
    return {
        _place(child, number, digests): child
        for number, child in enumerate(children)
        if digests.of(child.value) != NOTHING
    }


def _by_key(items: Iterable[tuple[Key, Tree]], texts: Collection[object] = ()) -> list[_Child]:
    names = Names(texts)
    return [_Child(names.name(key, MAX_KEY), key, item) for key, item in items]


def _place(child: _Child, number: int, digests: Fingerprints) -> Hashable:
    key = child.key
    if isinstance(key, UnusualKey | Opaque):
        digest = digests.of(key.value if isinstance(key, UnusualKey) else key)
        # Tensors as keys have no digest, but their order.
        return UnusualKey, digest, number if digest == NOTHING else 0
    return type(key), key


def _sort_of(value: Tree) -> object:
    """Equal for values whose children can be compared one by one."""
    if isinstance(value, dict):
        return dict
    if isinstance(value, Opaque | InertSubclass):
        return type(value), value.name
    if isinstance(value, InertArray):
        return InertArray, value.shape, value.dtype and value.dtype.code
    return type(value)


def _json(value: Tree) -> Json:
    """A number or a short text as it is, another value in words."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        return value.encode("utf-8", "replace").decode()
    return _words(value)


def _words(value: Tree) -> str:
    """What a value is, in a few words."""
    match value:
        case str():
            return f"a text of {counted(len(value), 'character')}"
        case bytes():
            return f"bytes: {count(len(value))}"
        case LongBytes():
            return f"bytes: {count(value.source.size)}"
        case dict():
            return f"a dict of {_values(value)}"
        case list():
            return f"a list of {_values(value)}"
        case tuple():
            return f"a tuple of {_values(value)}"
        case set():
            return f"a set of {_values(value)}"
        case Opaque():
            return f"an object of {value.name[:MAX_TEXT]}"
        case InertSubclass():
            return f"a tensor of {value.name[:MAX_TEXT]}"
        case InertArray():
            dtype = value.dtype.code if value.dtype else "an unknown dtype"
            return f"a numpy array of {dtype}, {shape(value.shape)}"
        case Global():
            return f"the name {value.name[:MAX_TEXT]}"
        case _:
            return f"{type(value).__name__} {text_of(value)}"


def _values(items: Collection[object]) -> str:
    return counted(len(items), "value")
