"""The numbers of two blocks of elements, computed by torch for every dtype, NaN and infinities."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from core.checkpoint import TensorEntry
from core.compare.numbers.partial_sums import PartialSums
from core.compare.tensor_numbers import Tolerance
from core.tensors import as_float64, exact_integers, float64_buffer, number_blocks

TRUSTED = 1e-140, 1e150
"""Between these, the root of a sum of squares is exact enough; outside, squares under- or
overflow."""


class BlockSums:
    """Measures blocks of at most `core.tensors.elements.BLOCK` elements. Each thread needs its
    own."""

    def __init__(self, tolerance: Tolerance) -> None:
        self.tolerance = tolerance
        self._buffers = [float64_buffer() for _ in range(3)]

    def whole(self, a: TensorEntry, b: TensorEntry) -> PartialSums:
        """The numbers of all elements of B against A's. Raises SourceError, and as `part` does."""
        return sum((part for _, part in self.parts(a, b)), PartialSums())

    def parts(self, a: TensorEntry, b: TensorEntry) -> Iterator[tuple[int, PartialSums]]:
        """Yield (number of elements, their numbers) for each block. Raises as `whole` does."""
        for x, y in zip(number_blocks(a), number_blocks(b), strict=True):
            yield x.numel(), self.part(x, y)

    def part(self, x: torch.Tensor, y: torch.Tensor) -> PartialSums:
        """The numbers of block y of B against block x of A, in float64.

        Raises LoupeError for a dtype that torch cannot convert.
        """
        a, b = as_float64(x, self._buffers[0]), as_float64(y, self._buffers[1])
        steps = _sizes(subtract(x, y, a, b, self._buffers[2]), x.numel())
        absolute = float(steps.sum())
        if math.isfinite(absolute):
            return self._finite(a, b, steps, absolute)
        rows_a, rows_b = a.view(steps.numel(), -1), b.view(steps.numel(), -1)
        nan_a, nan_b = rows_a.isnan().any(1), rows_b.isnan().any(1)
        inf_a, inf_b = rows_a.isinf().any(1) & ~nan_a, rows_b.isinf().any(1) & ~nan_b
        not_finite = nan_a | nan_b | inf_a | inf_b
        unlike = int((not_finite & ~((nan_a & nan_b) | (rows_a == rows_b).all(1))).sum())
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

    def _finite(
        self, a: torch.Tensor, b: torch.Tensor, steps: torch.Tensor, absolute: float
    ) -> PartialSums:
        numel = steps.numel()
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
            max_abs=float(steps.amax()),
            absolute=absolute,
            norm_a=norm_a,
            norm_b=norm_b,
            norm_difference=_norm(steps),
            cosine=_cosine(a, b, norm_a, norm_b),
            changed=int(torch.count_nonzero(steps)),
            outside=int((steps > self._allowed(b, numel)).sum()),
            sign_flips=int((a.sign() * b.sign() < 0).sum()) if a.numel() == numel else 0,
            zeros_a=zeros_a,
            zeros_b=_zeros(b, numel),
        )

    def _allowed(self, b: torch.Tensor, numel: int) -> torch.Tensor:
        return _sizes(b.clone(), numel).mul_(self.tolerance.rtol).add_(self.tolerance.atol)


def subtract(
    x: torch.Tensor, y: torch.Tensor, a: torch.Tensor, b: torch.Tensor, buffer: torch.Tensor
) -> torch.Tensor:
    """Block y minus block x in float64. 64-bit integers are subtracted before they are rounded.

    `a` and `b` are x and y as float64; the result may be a view of `buffer`.
    """
    exact_x, exact_y = exact_integers(x), exact_integers(y)
    if exact_x is None or exact_y is None or x.dtype != y.dtype:
        return torch.sub(b, a, out=buffer[: a.numel()])
    d = exact_y - exact_x
    overflown = ((exact_x ^ exact_y) & (exact_y ^ d)) < 0
    return torch.where(overflown, b - a, d.to(torch.float64))


def _sizes(values: torch.Tensor, numel: int) -> torch.Tensor:
    """The magnitudes of `numel` numbers, in place where they are real.

    Complex numbers come as `as_float64` returns them, with twice as many elements.
    """
    if values.numel() == numel:
        return values.abs_()
    return torch.hypot(*values.view(-1, 2).unbind(1))


def _zeros(values: torch.Tensor, numel: int) -> int:
    """How many elements are zero; a complex number is where both its parts are."""
    return numel - int(torch.count_nonzero(values.view(numel, -1).any(1) if numel else values))


def _norm(values: torch.Tensor) -> float:
    norm = float(torch.linalg.vector_norm(values))
    if TRUSTED[0] < norm < TRUSTED[1] or values.numel() == 0:
        return norm
    largest = float(values.abs().amax())
    if largest == 0 or math.isinf(largest):
        return largest
    return float(torch.linalg.vector_norm(values / largest)) * largest


def _cosine(a: torch.Tensor, b: torch.Tensor, norm_a: float, norm_b: float) -> float:
    if not (norm_a and norm_b):
        return 0.0
    if math.isinf(norm_a) or math.isinf(norm_b):
        return math.nan
    return float(((a / norm_a) * (b / norm_b)).sum())
