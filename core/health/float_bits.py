"""Floating-point numbers as their bits: by whole numbers alone, a block is judged several times
faster than by its values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.checkpoint import ITEMSIZES
from core.streaming import numbers_of

Bits = NDArray[np.unsignedinteger[Any]]

EXTREME = 100.0
"""The magnitude above which a weight is extreme. Trained weights are mostly below 1 (He et al. 2015
start at sqrt(2 / fan-in)); what diverges soon passes 100."""

BY_BITS = ("float64", "float32", "float16", "bfloat16", "float8_e5m2", "float8_e4m3fn")
"""Dtypes of a sign bit and a magnitude, in which a larger magnitude has larger bits and NaN comes
last: those of IEEE 754, and the two of OCP (arXiv 2209.05433). float8's `fnuz` dtypes have their
NaN where minus zero would be, and `e8m0fnu` has no sign."""


@dataclass(frozen=True, slots=True)
class FloatBits:
    """How a dtype's bits are read; all but `code` are bits as Python integers.

    `code` is numpy's for unsigned integers of the dtype's size, and `magnitude` masks the sign.
    Magnitudes from `not_finite` on are infinite or NaN; `infinity` is that of infinity, None in a
    dtype without one. Magnitudes above `extreme` stand for numbers above EXTREME.
    """

    code: str
    magnitude: int
    not_finite: int
    infinity: int | None
    extreme: int


@cache
def float_bits(dtype: str) -> FloatBits:
    """The bits of a dtype in BY_BITS."""
    width = ITEMSIZES[dtype]
    code, magnitude = f"u{width}", (1 << (8 * width - 1)) - 1
    if width > 2:
        as_float = np.dtype(f"f{width}").type
        infinity = int(as_float(np.inf).view(code))
        return FloatBits(code, magnitude, infinity, infinity, int(as_float(EXTREME).view(code)))
    values = _values(np.arange(magnitude + 1, dtype=code), dtype)
    finite = int(np.isfinite(values).sum())
    infinity_or_none = finite if np.isinf(values[finite]) else None
    below = int((values[:finite] <= EXTREME).sum()) - 1
    return FloatBits(code, magnitude, finite, infinity_or_none, below)


def number_at(bits: int, dtype: str) -> float:
    """The number that the bits stand for in a dtype of BY_BITS."""
    return float(_values(np.array([bits], dtype=float_bits(dtype).code), dtype)[0])


def _values(bits: Bits, dtype: str) -> NDArray[np.float64]:
    return numbers_of(bits.view(np.uint8), dtype).values
