"""The differences between two checkpoints' metadata: epoch, learning rates, options."""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from types import NoneType

from core.checkpoint.tree import Json
from core.fast_objects import paused_collector
from core.wording import count, counted

MAX_DEPTH = 64
"""Levels down to which two trees are compared; what lies deeper counts as one value. Metadata from
core.checkpoint.tree.metadata_json is never that deep."""

MAX_WORDS = 80
"""The most characters of a value in a line."""

MAX_ITEMS = 8
"""The most items of a list in a line."""


LEAF = (str, int, float, NoneType)
"""JSON's values that are neither mappings nor lists. That a value is one of these is known several
times sooner than that it is no Mapping and no Sequence, and most are."""


class ChangeKind(StrEnum):
    """How a value of A differs from that of B."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class MetadataChange:
    """A value that differs, or that only one of the two files contains.

    `path` is the names that lead to it. An item of a list has its index as its name: that in A, or
    that in B where it was added. `before` is A's value and `after` is B's; None where there is
    none.
    """

    path: tuple[str, ...]
    kind: ChangeKind
    before: Json = None
    after: Json = None


@dataclass(frozen=True, slots=True)
class Node:
    """A node in the tree of differences.

    `change` is the change of the value itself; None where only values below it, in `children`,
    changed. `changes` counts the changes at the node and below. `unchanged` counts the values
    directly in it that are equal in both and therefore have no node.
    """

    name: str
    change: MetadataChange | None
    children: tuple[Node, ...] = ()
    changes: int = 0
    unchanged: int = 0


def metadata_changes(a: Mapping[str, Json], b: Mapping[str, Json]) -> tuple[MetadataChange, ...]:
    """Every change from A to B, in A's order; an added value follows the one that it follows in B.

    Numbers are equal only where all bits and the type are: 3, 3.0, `3` and true are four values,
    and 0.0 and -0.0 are two. The order of a mapping's keys does not matter.
    """
    return tuple(changes_in(metadata_tree(a, b)))


@paused_collector()
def metadata_tree(a: Mapping[str, Json], b: Mapping[str, Json]) -> Node:
    """The changes as a tree, for drawing; its root has an empty name.

    Mappings are compared key by key, and lists of mappings, such as an optimizer's `param_groups`,
    item by item. In lists of strings and numbers, an item that occurs once in each list is compared
    with itself, wherever it moved to, so that an inserted class name is one change.
    """
    return _below("", (), a, b) or Node("", None)


def changes_in(node: Node) -> Iterator[MetadataChange]:
    """The changes at a node and below, in order."""
    if node.change is not None:
        yield node.change
    for child in node.children:
        yield from changes_in(child)


def _node(name: str, path: tuple[str, ...], a: Json, b: Json) -> Node | None:
    """The node of a value that both have; None where nothing differs."""
    leaves = isinstance(a, LEAF) or isinstance(b, LEAF) or len(path) >= MAX_DEPTH
    if not leaves and isinstance(a, Mapping) == isinstance(b, Mapping):
        return _below(name, path, a, b)
    if _equal(a, b):
        return None
    return Node(name, MetadataChange(path, ChangeKind.CHANGED, a, b), (), 1)


def _below(name: str, path: tuple[str, ...], a: Json, b: Json) -> Node | None:
    children: list[Node] = []
    unchanged = 0
    for child, before, after in _partners(a, b):
        if before is _NOTHING:
            added = MetadataChange((*path, child), ChangeKind.ADDED, None, _value(after))
            children.append(Node(child, added, (), 1))
        elif after is _NOTHING:
            removed = MetadataChange((*path, child), ChangeKind.REMOVED, _value(before), None)
            children.append(Node(child, removed, (), 1))
        elif changed_child := _node(child, (*path, child), _value(before), _value(after)):
            children.append(changed_child)
        else:
            unchanged += 1
    if not children:
        return None
    return Node(name, None, tuple(children), sum(child.changes for child in children), unchanged)


class _Nothing:
    """Stands for a value that one of the two lacks; None is a value in JSON."""


_NOTHING = _Nothing()
_Partners = tuple[str, Json | _Nothing, Json | _Nothing]


def _value(value: Json | _Nothing) -> Json:
    assert not isinstance(value, _Nothing)
    return value


def _partners(a: Json, b: Json) -> Iterator[_Partners]:
    """(name, value in A, value in B) for all values in two mappings, or in two lists."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        yield from _by_key(a, b)
        return
    assert isinstance(a, Sequence)
    assert isinstance(b, Sequence)
    for at_a, at_b in _aligned(a, b):
        yield (
            str(at_b if at_a is None else at_a),
            _NOTHING if at_a is None else a[at_a],
            _NOTHING if at_b is None else b[at_b],
        )


def _by_key(a: Mapping[str, Json], b: Mapping[str, Json]) -> Iterator[_Partners]:
    after: dict[str | None, list[str]] = {}
    last = None
    for key in b:
        if key in a:
            last = key
        else:
            after.setdefault(last, []).append(key)
    for key in after.pop(None, []):
        yield key, _NOTHING, b[key]
    for key, value in a.items():
        yield key, value, b.get(key, _NOTHING) if key in b else _NOTHING
        for new in after.pop(key, []):
            yield new, _NOTHING, b[new]


def _is_list(value: Json) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


_Places = tuple[int | None, int | None]


def _aligned(a: Sequence[Json], b: Sequence[Json]) -> Iterator[_Places]:
    """Pairs (index in A, index in B) of corresponding items; None where one list lacks the item."""
    every = [*a, *b]
    texts = any(isinstance(item, str) for item in every)
    if any(not isinstance(item, LEAF) for item in every) or (len(a) == len(b) and not texts):
        yield from _by_number(0, len(a), 0, len(b))
        return
    marks_a, marks_b = [_mark(item) for item in a], [_mark(item) for item in b]
    start, most = 0, min(len(a), len(b))
    while start < most and marks_a[start] == marks_b[start]:
        start += 1
    rest = 0
    while rest < most - start and marks_a[-1 - rest] == marks_b[-1 - rest]:
        rest += 1
    end_a, end_b = len(a) - rest, len(b) - rest
    yield from _by_number(0, start, 0, start)
    kept = _kept(marks_a[start:end_a], marks_b[start:end_b])
    known = [(start - 1, start - 1), *((start + x, start + y) for x, y in kept), (end_a, end_b)]
    for (last_a, last_b), (next_a, next_b) in pairwise(known):
        yield from _by_number(last_a + 1, next_a, last_b + 1, next_b)
        if (next_a, next_b) != (end_a, end_b):
            yield next_a, next_b
    yield from _by_number(end_a, len(a), end_b, len(b))


def _by_number(a: int, end_a: int, b: int, end_b: int) -> Iterator[_Places]:
    for step in range(max(end_a - a, end_b - b)):
        yield (
            a + step if a + step < end_a else None,
            b + step if b + step < end_b else None,
        )


def _kept(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The longest sequence of items that occur once in each list and keep their order.

    This is Bram Cohen's patience diff. Its time grows as n log n; that of difflib may grow as the
    cube for lists that a hostile file contains.
    """
    once_a, once_b = Counter(a), Counter(b)
    places = {mark: at for at, mark in enumerate(b) if once_b[mark] == 1}
    common = [
        (at, places[mark]) for at, mark in enumerate(a) if once_a[mark] == 1 and mark in places
    ]
    ends: list[int] = []
    tops: list[int] = []
    before: list[int] = []
    for index, (_, at) in enumerate(common):
        pile = bisect_left(ends, at)
        before.append(tops[pile - 1] if pile else -1)
        ends[pile : pile + 1] = [at]
        tops[pile : pile + 1] = [index]
    kept: list[tuple[int, int]] = []
    index = tops[-1] if tops else -1
    while index >= 0:
        kept.append(common[index])
        index = before[index]
    return kept[::-1]


def _mark(value: Json) -> Hashable:
    """Equal for equal values that are neither mappings nor lists."""
    return type(value).__name__, str(value)


def _equal(a: Json, b: Json) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and isinstance(b, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return a == b


def change_words(change: MetadataChange) -> str:
    """A change in a line: `0.1 → 0.01, ÷ 10`, `added: 12 values`, `removed: true`."""
    if change.kind is ChangeKind.ADDED:
        return f"added: {value_words(change.after)}"
    if change.kind is ChangeKind.REMOVED:
        return f"removed: {value_words(change.before)}"
    values = f"{value_words(change.before)} → {value_words(change.after)}"
    step = step_words(change.before, change.after)
    return f"{values}, {step}" if step else values


def step_words(before: Json, after: Json) -> str:
    """How a number changed: `÷ 10`, `× 2.5`, `+10`, `−0.3`; or a change of type, such as
    `an integer, now a string`. Empty where the two values need no explanation."""
    if before is None or after is None:
        return ""
    if _kind(before) != _kind(after):
        return f"{_kind(before)}, now {_kind(after)}"
    if type(before) is int and type(after) is int:
        return f"{'+' if after > before else '−'}{count(abs(after - before))}"
    if not (isinstance(before, float) and isinstance(after, float)):
        return ""
    if before * after > 0 and math.isfinite(after / before) and after / before:
        ratio = after / before
        if ratio >= 1.5:
            return f"× {_digits(ratio)}"
        if 1 / ratio >= 1.5:
            return f"÷ {_digits(1 / ratio)}"
    step = after - before
    if not step or not math.isfinite(step):
        return ""
    return f"{'+' if step > 0 else '−'}{_digits(abs(step))}"


def value_words(value: Json) -> str:
    """A value in a line. A string is quoted only where it could be read as another value."""
    if isinstance(value, Mapping):
        return "an empty mapping" if not value else counted(len(value), "entry")
    if _is_list(value):
        assert isinstance(value, Sequence)
        shown = f"[{', '.join(map(value_words, value))}]" if _is_short(value) else ""
        return shown if 0 < len(shown) <= MAX_WORDS else counted(len(value), "item")
    if isinstance(value, str):
        short = value if len(value) <= MAX_WORDS else f"{value[: MAX_WORDS - 1]}…"
        quoted = json.dumps(short, ensure_ascii=not short.isprintable())
        return quoted if _reads_otherwise(value) else short
    return json.dumps(value)


def _is_short(value: Sequence[Json]) -> bool:
    return len(value) <= MAX_ITEMS and not any(
        _is_list(item) or isinstance(item, Mapping) for item in value
    )


def _reads_otherwise(text: str) -> bool:
    if text != text.strip() or not text.isprintable() or text in ("", "true", "false", "null"):
        return True
    if text in ("nan", "inf", "-inf"):  # metadata writes these floats as strings
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def _kind(value: Json) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float) or value in ("nan", "inf", "-inf"):
        return "a float"
    if isinstance(value, str):
        return "a string"
    return "a list" if _is_list(value) else "a mapping"


def _digits(number: float) -> str:
    """Three significant digits, but from 1000 to a billion all digits: 10, 2.57, 4.2e-7, 12 000."""
    if 1000 <= number < 1e9:
        return count(round(number))
    digits, _, power = f"{number:.3g}".partition("e")
    return f"{digits}e{int(power)}" if power else digits
