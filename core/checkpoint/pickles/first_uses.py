"""Finds the first use of a class or function in a checkpoint's object tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
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

_Step: TypeAlias = "tuple[_Step, Key] | None"


def first_paths(tree: Tree, names: Iterable[str]) -> dict[str, str]:
    """For each of the names that occurs in the tree, the path of its first use.

    A path has the form `hyper_parameters.optimizer`; it is empty for the tree itself.
    """
    remaining, paths = set(names), dict[str, str]()
    visited: set[int] = set()
    levels: list[tuple[Iterator[tuple[Key, Tree]], _Step]] = [(iter([("", tree)]), None)]
    for _ in range(MAX_STEPS):
        if not levels or not remaining:
            break
        values, above = levels[-1]
        key, value = next(values, (None, _END))
        if value is _END:
            levels.pop()
            continue
        step = (above, key) if len(levels) > 1 else None
        if isinstance(value, Global | Opaque) and value.name in remaining:
            remaining.discard(value.name)
            paths[value.name] = _path(step)
        if type(value) in CONTAINER_TYPES and len(levels) < MAX_DEPTH and id(value) not in visited:
            visited.add(id(value))
            levels.append((_children(value), step))
    return paths


_END = Opaque("no more children")


def _children(value: Tree) -> Iterator[tuple[Key, Tree]]:
    """The children of a value, including keys that are classes and the attributes of a dict."""
    if isinstance(value, set):
        # A member is its own key: an object there says more than its number.
        return ((key, _unwrapped(key)) for key in value)
    keys = value.items if isinstance(value, Opaque) else value if isinstance(value, dict) else ()
    attributes = value.attributes if isinstance(value, InertDict) else None
    return chain(
        inside(value),
        ((key, _unwrapped(key)) for key in keys if isinstance(key, Global | Opaque | UnusualKey)),
        () if attributes is None else [("attributes", attributes)],
    )


def _unwrapped(key: Key) -> Tree:
    return key.value if isinstance(key, UnusualKey) else key


def _path(step: _Step) -> str:
    parts: list[str] = []
    while step is not None:
        above, key = step
        parts.append(printable(key_text(key)[:MAX_PATH]))
        step = above
    path = ".".join(reversed(parts))
    return path if len(path) <= MAX_PATH else f"{path[: MAX_PATH // 2]}…{path[-MAX_PATH // 2 :]}"
