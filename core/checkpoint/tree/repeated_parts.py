"""Recognises an object tree whose parts repeat one another until nothing can hold them written out.

A list that contains one list ten times, which contains another ten times, and so on, is a few
hundred bytes in a pickle and billions of values for a program that copies or prints it.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.checkpoint.pickles.inert import CONTAINER_TYPES, Tree, inside

ENDLESS = 1_000_000_000
"""Values of a tree written out, from which on it counts as made to fill the memory. The
objects of a tree that differ are far fewer (OBJECTS and BYTES_PER_OBJECT in budget.py)."""

MAX_CONTAINERS = 200_000
"""Containers that are counted; a tree with more is not judged."""


def repeats_endlessly(tree: Tree) -> bool:
    """Whether a tree has more than ENDLESS values if each part is written out wherever it is."""
    sizes: dict[int, int] = {}
    begun = {id(tree)}
    path: list[tuple[Tree, Iterator[Tree], int]] = [(tree, _parts(tree), 1)]
    while path:
        value, parts, size = path.pop()
        for part in parts:
            known = sizes.get(id(part))
            if known is not None:
                size += known
            elif type(part) not in CONTAINER_TYPES or id(part) in begun:
                size += 1  # also of a container that contains itself
            else:
                begun.add(id(part))
                path += [(value, parts, size), (part, _parts(part), 1)]
                break
        else:
            sizes[id(value)] = size
            if size > ENDLESS:
                return True
            if len(sizes) > MAX_CONTAINERS:
                return False
            if path:
                above, others, so_far = path.pop()
                path.append((above, others, so_far + size))
    return False


def _parts(value: Tree) -> Iterator[Tree]:
    return (part for _, part in inside(value))
