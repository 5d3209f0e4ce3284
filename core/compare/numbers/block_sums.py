"""The numbers of two blocks of elements, for every dtype, NaN and infinities."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from core.checkpoint import TensorEntry
from core.compare.numbers.partial_sums import PartialSums
from core.compare.tensor_numbers import Tolerance
from core.streaming import FloatBlock, Floats, block_pairs

TRUSTED = 1e-140, 1e150
"""Between these, the root of a sum of squares is exact enough; outside, squares under- or
overflow."""


class BlockSums:
    """Measures blocks of at most `float_blocks.BLOCK` elements, by numpy."""

    def __init__(self, tolerance: Tolerance) -> None:
        self.tolerance = tolerance

    def whole(self, a: TensorEntry, b: TensorEntry) -> PartialSums:
        """The numbers of all elements of B against A's. Raises as `float_blocks`."""
        return sum((part for _, part in self.parts(a, b)), PartialSums())

    def parts(self, a: TensorEntry, b: TensorEntry) -> Iterator[tuple[int, PartialSums]]:
        """Yield (number of elements, their numbers) for each block."""
        for x, y in block_pairs(a, b):
            yield x.numel, self.part(x, y)

    @np.errstate(all="ignore")  # NaN, infinities and overflow are counted, or scaled away
    def part(self, x: FloatBlock, y: FloatBlock) -> PartialSums:
        """The numbers of block y of B against block x of A, in float64."""
        a, b = x.values, y.values
        steps = sizes(subtract(x, y), x.numel)
        absolute = float(steps.sum())
        if math.isfinite(absolute):
            return self._finite(a, b, steps, absolute)
        rows_a, rows_b = a.reshape(x.numel, -1), b.reshape(x.numel, -1)
        nan_a, nan_b = np.isnan(rows_a).any(1), np.isnan(rows_b).any(1)
        inf_a, inf_b = np.isinf(rows_a).any(1) & ~nan_a, np.isinf(rows_b).any(1) & ~nan_b
        not_finite = nan_a | nan_b | inf_a | inf_b
        alike = (nan_a & nan_b) | (rows_a == rows_b).all(1)
        unlike = int((not_finite & ~alike).sum())
        steps = steps[~not_finite]
        a, b = rows_a[~not_finite].reshape(-1), rows_b[~not_finite].reshape(-1)
        return self._finite(a, b, steps, float(steps.sum())) + PartialSums(
            changed=unlike,
            outside=unlike,
            nan_a=int(nan_a.sum()),
            nan_b=int(nan_b.sum()),
            nan_both=int((nan_a & nan_b).sum()),
            inf_a=int(inf_a.sum()),
            inf_b=int(inf_b.sum()),
        )

    def _finite(self, a: Floats, b: Floats, steps: Floats, absolute: float) -> PartialSums:
        numel = steps.size
        norm_a = _norm(a)
        zeros_a = _zeros(a, numel)
        if absolute == 0:
            return PartialSums(
                finite=numel,
                norm_a=norm_a,
                norm_b=norm_a,
                cosine=1.0 if norm_a else 0.0,
                zeros_a=zeros_a,
                zeros_b=zeros_a,
            )
        norm_b = _norm(b)
        return PartialSums(
            finite=numel,
            max_abs=float(steps.max()),
            absolute=absolute,
            norm_a=norm_a,
            norm_b=norm_b,
            norm_difference=_norm(steps),
            cosine=_cosine(a, b, norm_a, norm_b),
            changed=int(np.count_nonzero(steps)),
            outside=int(np.count_nonzero(steps > self._allowed(b, numel))),
            sign_flips=_sign_flips(a, b) if a.size == numel else 0,
            zeros_a=zeros_a,
            zeros_b=_zeros(b, numel),
        )

    def _allowed(self, b: Floats, numel: int) -> Floats:
        return sizes(b, numel) * self.tolerance.rtol + self.tolerance.atol


@np.errstate(all="ignore")
def subtract(x: FloatBlock, y: FloatBlock) -> Floats:
    """Block y minus block x. 64-bit integers are subtracted before they are rounded."""
    if x.exact is None or y.exact is None or x.dtype != y.dtype:
        difference: Floats = y.values - x.values
        return difference
    d = y.exact - x.exact
    overflown = ((x.exact ^ y.exact) & (y.exact ^ d)) < 0
    return np.where(overflown, y.values - x.values, d.astype(np.float64))


def sizes(values: Floats, numel: int) -> Floats:
    """The magnitudes of `numel` numbers; complex ones come as twice as many values."""
    if values.size == numel:
        return np.abs(values)
    return np.hypot(values[::2], values[1::2])


def _zeros(values: Floats, numel: int) -> int:
    """How many elements are zero; a complex number is where both its parts are."""
    if values.size == numel:
        return numel - int(np.count_nonzero(values))
    return numel - int(np.count_nonzero(values.reshape(numel, -1).any(1)))


def _sign_flips(a: Floats, b: Floats) -> int:
    return int(np.count_nonzero(((a < 0) & (b > 0)) | ((a > 0) & (b < 0))))


def _norm(values: Floats) -> float:
    norm = _root_of_squares(values)
    if TRUSTED[0] < norm < TRUSTED[1] or values.size == 0:
        return norm
    largest = float(np.abs(values).max())
    if largest == 0 or math.isinf(largest):
        return largest
    return _root_of_squares(values / largest) * largest


def _root_of_squares(values: Floats) -> float:
    # Not np.dot: it calls BLAS, whose threads wait for one another far longer than they work.
    return math.sqrt(float(np.square(values).sum()))


def _cosine(a: Floats, b: Floats, norm_a: float, norm_b: float) -> float:
    if not (norm_a and norm_b):
        return 0.0
    if math.isinf(norm_a) or math.isinf(norm_b):
        return math.nan
    return float(((a / norm_a) * (b / norm_b)).sum())
