"""Where in a checkpoint's object tree a class or function is used first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypeAlias

from core.checkpoint.pickles.inert import HOLDERS, Global, InertDict, Key, Opaque, Tree, inside
from core.errors import printable

MAX_STEPS = 300_000
"""Objects looked at in one tree; what lies behind them has no place."""

MAX_DEPTH = 200
MAX_PATH = 200
"""Characters of a path."""

_Step: TypeAlias = "tuple[_Step, Key] | None"


def first_places(tree: Tree, names: Iterable[str]) -> dict[str, str]:
    """The path of the first object in the tree that has one of the names, for each that is there.

    A path reads `hyper_parameters.optimizer`; it is empty for the tree itself.
    """
    wanted, places = set(names), dict[str, str]()
    seen: set[int] = set()
    levels: list[tuple[Iterator[tuple[Key, Tree]], _Step]] = [(iter([("", tree)]), None)]
    for _ in range(MAX_STEPS):
        if not levels or not wanted:
            break
        values, above = levels[-1]
        key, value = next(values, (None, _END))
        if value is _END:
            levels.pop()
            continue
        step = (above, key) if len(levels) > 1 else None
        if isinstance(value, Global | Opaque) and value.name in wanted:
            wanted.discard(value.name)
            places[value.name] = _path(step)
        kind = type(value)
        if (kind in HOLDERS or kind is set) and len(levels) < MAX_DEPTH and id(value) not in seen:
            seen.add(id(value))
            levels.append((_inside(value), step))
    return places


_END = Opaque("the end of what an object holds")


def _inside(value: Tree) -> Iterator[tuple[Key, Tree]]:
    """What lies in a value, keys that are classes and a dict's attributes included."""
    if isinstance(value, set):
        return ((key, key) for key in value)
    keys = value.items if isinstance(value, Opaque) else value if isinstance(value, dict) else ()
    attributes = value.attributes if isinstance(value, InertDict) else None
    return chain(
        inside(value),
        ((key, key) for key in keys if isinstance(key, Global | Opaque)),
        () if attributes is None else [("attributes", attributes)],
    )


def _path(step: _Step) -> str:
    parts: list[str] = []
    while step is not None:
        above, key = step
        parts.append(printable(str(key)[:MAX_PATH]))
        step = above
    path = ".".join(reversed(parts))
    return path if len(path) <= MAX_PATH else f"{path[: MAX_PATH // 2]}…{path[-MAX_PATH // 2 :]}"
