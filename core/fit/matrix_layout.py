"""Which square matrices of a file are transposed: those around them show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from core.keys import block_of


def square_layouts(oblong: Mapping[str, bool], squares: Iterable[str]) -> dict[str, bool | None]:
    """Whether each square matrix is transposed, which its own shape does not show.

    `oblong` says it of the other matrices, by their keys in the file. A square one is as those of
    its block, the outermost numbered module: GPT-2's blocks are transposed, and its head is not. In
    a block without such it is as all others of the file. None where these are not alike.
    """
    by_block: dict[str, set[bool]] = defaultdict(set)
    for key, turned in oblong.items():
        by_block[block_of(key)].add(turned)
    every = {*oblong.values()} or {False}
    layouts: dict[str, bool | None] = {}
    for key in squares:
        block = block_of(key)
        around = by_block.get(block, every) if block else every
        layouts[key] = None if len(around) > 1 else around == {True}
    return layouts
