"""A tensor's statistics and histogram, block by block: the tensor is never in memory as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from core.checkpoint import Quantized, TensorEntry, stored_values
from core.progress import Report, ignore
from core.tensors.elements import (
    as_float64,
    exact_integers,
    float64_buffer,
    integer_shift,
    number_blocks,
)

HISTOGRAM_BLOCK = 1 << 20
"""Elements counted at once. torch.histc splits even small blocks among threads, so they are
large."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """A tensor's moments over its finite elements.

    `min`, `max`, `mean` and `std` (unbiased, like torch.std) are None where there is no finite
    element; `std` is also None where there is only one. `zeros`, `nan` and `inf` count elements;
    `count` counts all of them. Of complex numbers the magnitude is measured, and `of` is
    "magnitude".
    """

    count: int
    min: float | int | None
    max: float | int | None
    mean: float | None
    std: float | None
    zeros: int
    nan: int
    inf: int
    of: str = "value"

    @property
    def finite(self) -> int:
        """Elements that are numbers: neither NaN nor infinite."""
        return self.count - self.nan - self.inf


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts[i]` finite elements are in [`edges[i]`, `edges[i + 1]`); the last bin includes its
    end."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


def statistics(entry: TensorEntry, progress: Report = ignore) -> Statistics:
    """Read the tensor once and measure it in float64.

    Blocks are merged by Chan's formula (Chan, Golub, LeVeque 1979), so that a large mean does not
    hide a small spread. `progress` counts elements. A quantized tensor is measured with its scales
    applied; of a sparse or nested one, the stored values are measured. Raises SourceError where the
    bytes are gone, LoupeError for a dtype that torch cannot convert, and Cancelled.
    """
    moments = _Moments()
    done, total = 0, stored_values(entry).numel
    for block in number_blocks(entry):
        moments.add(block)
        done += block.numel()
        progress(done, total, entry.key)
    return moments.result(done, "magnitude" if entry.dtype.startswith("complex") else "value")


def histogram(
    entry: TensorEntry,
    bins: int = 64,
    *,
    measured: Statistics | None = None,
    progress: Report = ignore,
) -> Histogram | None:
    """Count the finite elements in `bins` equal bins from the smallest to the largest.

    Integers whose range fits in `bins` get one bin per value. `measured` are the tensor's
    statistics; without them the tensor is read twice. None where there is no finite element.
    Raises as `statistics` does.
    """
    known = measured or statistics(entry, progress)
    if known.min is None or known.max is None:
        return None
    low, high, bins = _range(entry, float(known.min), float(known.max), bins)
    counts = torch.zeros(bins, dtype=torch.float64)
    buffer = float64_buffer(HISTOGRAM_BLOCK)
    done, total = 0, stored_values(entry).numel
    for block in number_blocks(entry, HISTOGRAM_BLOCK):
        counts += torch.histc(_finite(_magnitudes(block, buffer)), bins, low, high)
        done += block.numel()
        progress(done, total, entry.key)
    edges = torch.linspace(low, high, bins + 1, dtype=torch.float64)
    return Histogram(
        tuple(float(edge) for edge in edges), tuple(int(count) for count in counts.tolist())
    )


class _Moments:
    """Count, mean and sum of squared deviations of the elements so far."""

    def __init__(self) -> None:
        self.finite = 0
        self.mean = 0.0
        self.squares = 0.0
        self.low = math.inf
        self.high = -math.inf
        self.exact: tuple[int, int] | None = None
        self.zeros = self.nan = self.inf = 0
        self._buffer = float64_buffer()

    def add(self, block: torch.Tensor) -> None:
        values = _magnitudes(block, self._buffer)
        if not values.numel():
            return
        low, high = float(values.amin()), float(values.amax())
        if not math.isfinite(low + high):
            nan = int(torch.isnan(values).sum())
            finite = _finite(values)
            self.nan += nan
            self.inf += values.numel() - nan - finite.numel()
            values = finite
            if not values.numel():
                return
            low, high = float(values.amin()), float(values.amax())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.zeros += values.numel() - int(torch.count_nonzero(values))
        self._merge(values)
        self._keep_exact(block)

    def _merge(self, values: torch.Tensor) -> None:
        count = values.numel()
        mean = float(values.mean())
        centred = values.sub_(mean)
        squares = float(torch.linalg.vector_norm(centred)) ** 2
        total = self.finite + count
        step = mean - self.mean
        self.squares += squares + step * step * self.finite * count / total
        self.mean += step * count / total
        self.finite = total

    def _keep_exact(self, block: torch.Tensor) -> None:
        integers = exact_integers(block)
        if integers is None:
            return
        shift = integer_shift(block.dtype)
        low, high = (int(end) + shift for end in torch.aminmax(integers))
        seen = self.exact or (low, high)
        self.exact = min(seen[0], low), max(seen[1], high)

    def result(self, count: int, of: str) -> Statistics:
        if not self.finite:
            return Statistics(count, None, None, None, None, 0, self.nan, self.inf, of)
        low, high = self.exact or (self.low, self.high)
        std = math.sqrt(self.squares / (self.finite - 1)) if self.finite > 1 else None
        return Statistics(count, low, high, self.mean, std, self.zeros, self.nan, self.inf, of)


def _magnitudes(block: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    if block.is_complex():
        return block.to(torch.complex128).abs()
    return as_float64(block, buffer)


def _finite(values: torch.Tensor) -> torch.Tensor:
    finite = torch.isfinite(values)
    return values if bool(finite.all()) else values[finite]


def _range(entry: TensorEntry, low: float, high: float, bins: int) -> tuple[float, float, int]:
    is_integer = entry.dtype == "bool" or entry.dtype.lstrip("uq").startswith("int")
    if is_integer and not isinstance(entry.form, Quantized) and high - low < bins:
        return low - 0.5, high + 0.5, int(high - low) + 1
    if low == high:
        spread = abs(low) * 0.5 or 0.5
        return low - spread, high + spread, bins
    return low, high, bins
