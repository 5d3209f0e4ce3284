"""Reads a few elements of two tensors, to prove that one is the other rounded."""

from __future__ import annotations

from core.compare.comparison import Row
from core.errors import LoupeError


def is_round_trip(row: Row, dtype: str) -> bool:
    """Whether each element of B's first block is A's after a cast to `dtype` and back.

    The rest is not read: by then, the row's numbers have the size of a rounding throughout. False
    where a file cannot be read any more.
    """
    import torch

    from core.tensors import number_blocks

    if row.a is None or row.b is None:
        return False
    try:
        a, b = next(number_blocks(row.a)), next(number_blocks(row.b))
    except LoupeError:
        return False
    return torch.equal(a.to(getattr(torch, dtype)).to(a.dtype), b)
