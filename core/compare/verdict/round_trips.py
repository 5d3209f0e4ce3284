"""Reads elements of two tensors, to prove that one is the other rounded."""

from __future__ import annotations

from itertools import islice

from core.compare.comparison import Row
from core.errors import LoupeError

CHECKED = 64
"""The most blocks of a tensor that are read: 1.6 million elements, more than most tensors have. It
bounds the work for large ones, whose rest is known by its size alone."""


def is_round_trip(row: Row, dtype: str) -> bool:
    """Whether B's first elements are A's after a cast to `dtype` and back, and some of them differ
    from A's.

    Up to CHECKED blocks are read. False where a file cannot be read any more, or torch knows no
    such cast.
    """
    import torch

    from core.tensors import number_blocks

    if row.a is None or row.b is None:
        return False
    differs = False
    try:
        pairs = zip(number_blocks(row.a), number_blocks(row.b), strict=True)
        for a, b in islice(pairs, CHECKED):
            x, y = (torch.view_as_real(each) if each.is_complex() else each for each in (a, b))
            if not torch.equal(x.to(getattr(torch, dtype)).to(x.dtype), y):
                return False
            differs = differs or not torch.equal(x, y)
    except (LoupeError, NotImplementedError):
        return False
    return differs
