"""How far two tensors are from each other, in one pass over the stored bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from core.checkpoint.entries import Nested, Sparse, TensorEntry
from core.compare.numbers import ALLCLOSE, Numbers, Tolerance
from core.elements import NUMBERLESS, as_float64, exact_integers, float64_buffer, numbers
from core.errors import LoupeError
from core.jobs import Progress


def comparable(a: TensorEntry | None, b: TensorEntry | None) -> bool:
    """Whether the two have numbers: both are there with bytes, their shapes are equal, and each
    element of one has its element of the other, as in a sparse or a nested tensor it has not."""
    if a is None or b is None or a.shape != b.shape:
        return False
    return all(
        entry.records
        and entry.dtype not in NUMBERLESS
        and not isinstance(entry.form, Sparse | Nested)
        for entry in (a, b)
    )


def difference(
    a: TensorEntry,
    b: TensorEntry,
    tolerance: Tolerance = ALLCLOSE,
    *,
    progress: Progress | None = None,
) -> Numbers:
    """Measure B against A in float64, whatever their dtypes; progress counts elements.

    A quantized tensor's numbers are those that its scales give.
    Raises LoupeError where the shapes differ, SourceError where the bytes are gone, Cancelled.
    """
    ((_, numbers),) = differences([(a, b)], tolerance, progress=progress)
    return numbers


def differences(
    pairs: Sequence[tuple[TensorEntry, TensorEntry]],
    tolerance: Tolerance = ALLCLOSE,
    *,
    progress: Progress | None = None,
) -> Iterator[tuple[int, Numbers]]:
    """Yield (index of the pair, its numbers) as each is done; a cancel keeps what was yielded.

    Raises as `difference` does.
    """
    total = sum(a.numel for a, _ in pairs)
    done = 0
    for index, (a, b) in enumerate(pairs):
        if not comparable(a, b):
            raise LoupeError(
                f"{a.key} and {b.key} have no numbers: their shapes differ, or one holds no data, "
                "or is sparse or nested.",
                "Choose dense tensors that both files hold with the same shape.",
            )
        sums = _Sums(tolerance)
        for x, y in zip(numbers(a), numbers(b), strict=True):
            sums.add(x, y)
            done += x.numel()
            if progress is not None:
                progress.report(done, total, a.key)
        yield index, sums.result(a.numel)


class _Sums:
    """What one pass over a pair gathers."""

    def __init__(self, tolerance: Tolerance) -> None:
        self.tolerance = tolerance
        self.finite = self.changed = self.outside = self.flips = 0
        self.largest = self.absolute = 0.0
        self.dd = self.aa = self.bb = 0.0
        self.zeros_a = self.zeros_b = 0
        self.nan_a = self.nan_b = self.nan_both = self.inf_a = self.inf_b = 0
        self._buffers = [float64_buffer() for _ in range(3)]

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        a, b = as_float64(x, self._buffers[0]), as_float64(y, self._buffers[1])
        d = _subtract(x, y, a, b, self._buffers[2])
        self.finite += x.numel()
        steps = _sizes(d, x.numel())
        absolute = float(steps.sum())
        if not math.isfinite(absolute):
            a, b, steps = self._leave_out(a, b, steps)
            absolute = float(steps.sum())
        self.aa += _square(a)
        self.bb += _square(b)
        self.zeros_a += _zeros(a, steps.numel())
        self.zeros_b += _zeros(b, steps.numel())
        if absolute == 0:
            return
        self.absolute += absolute
        self.dd += _square(steps)
        self.largest = max(self.largest, float(steps.amax()))
        self.changed += int(torch.count_nonzero(steps))
        self.outside += int((steps > self._allowed(b, steps.numel())).sum())
        if a.numel() == steps.numel():
            self.flips += int((a * b < 0).sum())

    def _allowed(self, b: torch.Tensor, numel: int) -> torch.Tensor:
        sizes = b.abs() if b.numel() == numel else torch.linalg.vector_norm(b.view(-1, 2), dim=1)
        return sizes.mul_(self.tolerance.rtol).add_(self.tolerance.atol)

    def _leave_out(
        self, a: torch.Tensor, b: torch.Tensor, steps: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Count what is not finite on either side, and go on without it."""
        rows_a, rows_b = a.view(steps.numel(), -1), b.view(steps.numel(), -1)
        nan_a, nan_b = rows_a.isnan().any(1), rows_b.isnan().any(1)
        inf_a, inf_b = rows_a.isinf().any(1) & ~nan_a, rows_b.isinf().any(1) & ~nan_b
        self.nan_a += int(nan_a.sum())
        self.nan_b += int(nan_b.sum())
        self.nan_both += int((nan_a & nan_b).sum())
        self.inf_a += int(inf_a.sum())
        self.inf_b += int(inf_b.sum())
        odd = nan_a | nan_b | inf_a | inf_b
        unlike = int((odd & ~((nan_a & nan_b) | (rows_a == rows_b).all(1))).sum())
        self.changed += unlike
        self.outside += unlike
        self.finite -= int(odd.sum())
        return rows_a[~odd].reshape(-1), rows_b[~odd].reshape(-1), steps[~odd]

    def result(self, count: int) -> Numbers:
        return Numbers(
            count=count,
            max_abs=self.largest,
            mean_abs=self.absolute / self.finite if self.finite else 0.0,
            relative_l2=_ratio(math.sqrt(self.dd), math.sqrt(self.aa)),
            cosine=_cosine(self.dd, self.aa, self.bb),
            norm_a=math.sqrt(self.aa),
            norm_b=math.sqrt(self.bb),
            norm_difference=math.sqrt(self.dd),
            changed=self.changed,
            outside=self.outside,
            sign_flips=self.flips,
            zeros_a=self.zeros_a,
            zeros_b=self.zeros_b,
            nan_a=self.nan_a,
            nan_b=self.nan_b,
            nan_both=self.nan_both,
            inf_a=self.inf_a,
            inf_b=self.inf_b,
        )


def _zeros(values: torch.Tensor, numel: int) -> int:
    """Elements that are zero; a complex number where both its parts are."""
    return numel - int(torch.count_nonzero(values.view(numel, -1).any(1) if numel else values))


def _subtract(
    x: torch.Tensor, y: torch.Tensor, a: torch.Tensor, b: torch.Tensor, buffer: torch.Tensor
) -> torch.Tensor:
    """B minus A in float64; where both are 64-bit integers, subtracted before they are rounded."""
    exact_x, exact_y = exact_integers(x), exact_integers(y)
    if exact_x is None or exact_y is None or x.dtype != y.dtype:
        return torch.sub(b, a, out=buffer[: a.numel()])
    d = exact_y - exact_x
    overflown = ((exact_x ^ exact_y) & (exact_y ^ d)) < 0
    return torch.where(overflown, b - a, d.to(torch.float64))


def _sizes(d: torch.Tensor, numel: int) -> torch.Tensor:
    """The differences' magnitudes, `numel` of them, in place where they are real numbers."""
    return d.abs_() if d.numel() == numel else torch.linalg.vector_norm(d.view(-1, 2), dim=1)


def _ratio(part: float, whole: float) -> float:
    if whole == 0:
        return math.inf if part else 0.0
    return part / whole


def _square(values: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(values)) ** 2


def _cosine(dd: float, aa: float, bb: float) -> float | None:
    """The cosine by the law of cosines, from |b - a|², |a|² and |b|²: one sum less to take."""
    if aa == 0 or bb == 0:
        return None
    return max(-1.0, min(1.0, (aa + bb - dd) / (2 * math.sqrt(aa) * math.sqrt(bb))))
