"""Finds the first use of a class or function in a checkpoint's object tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TypeAlias

from core.checkpoint.pickles.inert import (
    CONTAINER_TYPES,
    Global,
    InertDict,
    Key,
    Opaque,
    Tree,
    UnusualKey,
    inside,
)
from core.checkpoint.pickles.key_names import key_text
from core.errors import printable

MAX_STEPS = 300_000
"""Objects that are searched in one tree; names that occur only after them get no path."""

MAX_DEPTH = 200
MAX_PATH = 200
"""Characters of a path."""

Step: TypeAlias = "tuple[Step, Key] | None"
"""A key and the step above it, from a value up to the tree; None for the tree."""


def first_paths(tree: Tree, names: Iterable[str]) -> dict[str, str]:
    """For each of the names that occurs in the tree, the path of its first use.

    A path has the form `hyper_parameters.optimizer`; it is empty for the tree itself.
    """
    remaining, paths = set(names), dict[str, str]()
    visited: set[int] = set()
    rest: list[tuple[Tree, Step, int]] = [(tree, None, 0)]
    steps = 0
    while rest and remaining and steps < MAX_STEPS:
        value, step, depth = rest.pop()
        if isinstance(value, Global | Opaque) and value.name in remaining:
            remaining.discard(value.name)
            paths[value.name] = path_of(step)
        if type(value) is Global or depth == MAX_DEPTH or id(value) in visited:
            continue
        visited.add(id(value))
        # Most values of a tree are numbers and texts, which are passed over at once.
        children = islice(_children(value), MAX_STEPS - steps)
        below = [
            (item, (step, key), depth + 1) for key, item in children if type(item) in _SEARCHED
        ]
        steps += 1 + _length(value)
        rest.extend(reversed(below))
    return paths


_SEARCHED = CONTAINER_TYPES | {Global}


def _length(value: Tree) -> int:
    """The number of a value's children, its dict's keys included, without walking through them."""
    if isinstance(value, Opaque):
        return _length(value.state) + len(value.items) + len(value.elements)
    return len(value) if isinstance(value, dict | list | tuple | set) else 0


def _children(value: Tree) -> Iterator[tuple[Key, Tree]]:
    """The children of a value, including keys that are classes and the attributes of a dict."""
    if isinstance(value, set):
        # A member is its own key: an object there says more than its number.
        return ((key, _unwrapped(key)) for key in value)
    keys = value.items if isinstance(value, Opaque) else value if isinstance(value, dict) else ()
    odd = [(key, _unwrapped(key)) for key in keys if type(key) in _ODD_KEYS]
    attributes = value.attributes if isinstance(value, InertDict) else None
    if attributes is not None:
        odd.append(("attributes", attributes))
    return chain(inside(value), odd) if odd else iter(inside(value))


_ODD_KEYS = frozenset({Global, Opaque, UnusualKey})
"""The types of keys that a name may be in."""


def _unwrapped(key: Key) -> Tree:
    return key.value if isinstance(key, UnusualKey) else key


def path_of(step: Step) -> str:
    """The path that steps lead along, printable; the middle of a long one is left out."""
    parts: list[str] = []
    while step is not None:
        above, key = step
        parts.append(printable(key_text(key)[:MAX_PATH]))
        step = above
    path = ".".join(reversed(parts))
    return path if len(path) <= MAX_PATH else f"{path[: MAX_PATH // 2]}…{path[-MAX_PATH // 2 :]}"
