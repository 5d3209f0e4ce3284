"""The data of a pair's figures: histograms, a map of the difference, and the channels and filters
that changed most."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from core.checkpoint import TensorEntry
from core.compare.measurability import comparable
from core.compare.numbers.block_sums import sizes, subtract
from core.compare.pairing.entry_views import rows
from core.errors import LoupeError
from core.progress import Report, ignore
from core.streaming import block_pairs
from core.tensors import (
    TensorImage,
    cells_of,
    number_blocks,
    read_tensor,
)

BINS = 64
"""Bins of a histogram."""

MAX_CHANNELS = 1 << 18
"""The most slices along the first dimension that are measured one by one; enough for the rows of a
vocabulary."""

MAX_FILTERS = 16
"""The most filters that are drawn."""

MAX_KERNEL = 64
"""The most rows, and the most columns, of a filter that is drawn."""

MAX_FILTER = 1 << 20
"""The most elements of a filter that is read."""


@dataclass(frozen=True, slots=True)
class Counts:
    """`counts[i]` elements are in [`edges[i]`, `edges[i + 1]`); the last bin includes its end."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters that changed most, of `of` in all; `indexes` are theirs, the most changed first.

    `a`, `b` and `difference` are float32 [filters, height, width], means over the input channels.
    """

    indexes: tuple[int, ...]
    of: int
    a: torch.Tensor
    b: torch.Tensor
    difference: torch.Tensor


@dataclass(frozen=True, slots=True)
class TensorPair:
    """What is drawn of a pair.

    `left_out` counts the elements that are not finite in both, or whose difference is infinite in
    float64; they are in none of the other fields. `a`, `b` and `difference` are histograms, None
    where no element is finite; `a` and `b` have the same edges. `map` is the image of the means of
    B minus A, None for a single element. `channels` are the relative L2 of each slice along the
    first dimension: inf where A's slice is all zeros, NaN where no element is finite. It is empty
    for vectors, for a single slice, and for more than MAX_CHANNELS slices.
    """

    a: Counts | None
    b: Counts | None
    difference: Counts | None
    map: TensorImage | None
    channels: tuple[float, ...]
    filters: Filters | None
    left_out: int


def tensor_pair(a: TensorEntry, b: TensorEntry, progress: Report = ignore) -> TensorPair:
    """Read both twice, in bounded memory; `progress` counts the elements of both passes.

    Of complex numbers and their differences, the magnitudes are used; a quantized tensor is
    measured with its scales applied. Raises LoupeError where the two cannot be compared,
    SourceError where the bytes are gone, and Cancelled.
    """
    if not comparable(a, b):
        raise LoupeError(
            f"{a.key} and {b.key} cannot be drawn side by side: their shapes differ, or one has "
            "no data, or is sparse or nested.",
            "Choose a row whose tensors have the same shape in both files.",
        )
    ranges, cells = _Ranges(), cells_of(a.shape) if a.numel > 1 else None
    total, done = 2 * a.numel, 0
    for x, y, step in _blocks(a, b):
        ranges.add(x, y, step)
        if cells is not None:
            cells.add(step)
        done += x.numel()
        progress(done, total, a.key)
    histograms = [_Histogram(*ranges.values), _Histogram(*ranges.values), _Histogram(*ranges.steps)]
    channels = _Channels(a, ranges)
    for x, y, step in _blocks(a, b):
        channels.add(x, step)
        for histogram, values in zip(histograms, (x, y, step), strict=True):
            histogram.add(values)
        done += x.numel()
        progress(done, total, a.key)
    changes = channels.changes()
    in_a, in_b, difference = (histogram.counted() for histogram in histograms)
    return TensorPair(
        in_a,
        in_b,
        difference,
        cells.image() if cells is not None else None,
        changes,
        _filters(a, b, changes, progress),
        ranges.left_out,
    )


def _blocks(
    a: TensorEntry, b: TensorEntry
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """A's values, B's, and B minus A, as float64 [n]; NaN in all three where one is not finite.

    They are valid until the next ones are requested.
    """
    for x, y in block_pairs(a, b):
        arrays = [x.values, y.values, subtract(x, y)]
        if x.values.size > x.numel:
            arrays = [sizes(array, x.numel) for array in arrays]
        values = [torch.from_numpy(array) for array in arrays]
        if not all(math.isfinite(float(array.sum())) for array in values):
            not_finite = ~torch.stack(values).isfinite().all(0)
            for array in values:
                array[not_finite] = math.nan
        yield values[0], values[1], values[2]


class _Ranges:
    """The smallest and the largest value of A and B together, and of B minus A."""

    def __init__(self) -> None:
        self.values = [math.inf, -math.inf]
        self.steps = [math.inf, -math.inf]
        self.left_out = 0

    def add(self, x: torch.Tensor, y: torch.Tensor, step: torch.Tensor) -> None:
        finite = _without_nan(step)
        self.left_out += step.numel() - finite.numel()
        if finite.numel():
            for bounds, values in ((self.values, x), (self.values, y), (self.steps, finite)):
                low, high = torch.aminmax(values if values is finite else _without_nan(values))
                bounds[:] = [min(bounds[0], float(low)), max(bounds[1], float(high))]


class _Channels:
    """Sums of squares of A and of B minus A, by slice along the first dimension."""

    def __init__(self, entry: TensorEntry, ranges: _Ranges) -> None:
        count = entry.shape[0] if len(entry.shape) > 1 else 0
        count = count if 1 < count <= MAX_CHANNELS else 0
        self._inner = entry.numel // count if count else 0
        self._squares = torch.zeros(2, count, dtype=torch.float64)
        self._missing = torch.zeros(count, dtype=torch.float64)
        self._units = [_unit(*ranges.values), _unit(*ranges.steps)]
        self._at = 0

    def add(self, x: torch.Tensor, step: torch.Tensor) -> None:
        if not self._inner:
            return
        first, last = self._at // self._inner, (self._at + step.numel() - 1) // self._inner
        channel = torch.arange(self._at, self._at + step.numel())
        channel = channel.div_(self._inner, rounding_mode="floor") if first < last else channel
        self._at += step.numel()
        is_nan = step.isnan()
        has_nan = bool(is_nan.any())
        for sums, unit, values in zip(self._squares, self._units, (x, step), strict=True):
            without_nan = values.nan_to_num(0.0) if has_nan else values
            squares = (without_nan if unit == 1 else without_nan / unit).square()
            _add(sums, squares, channel, first, last)
        if has_nan:
            _add(self._missing, is_nan.to(torch.float64), channel, first, last)

    def changes(self) -> tuple[float, ...]:
        before, moved = self._squares.sqrt()
        ratio = moved / before * (self._units[1] / self._units[0])
        ratio = torch.where(moved == 0, 0.0, ratio)
        return tuple(torch.where(self._missing == self._inner, math.nan, ratio).tolist())


def _add(
    sums: torch.Tensor, values: torch.Tensor, channel: torch.Tensor, first: int, last: int
) -> None:
    if first == last:
        sums[first] += values.sum()
    else:
        sums.index_add_(0, channel, values)


def _unit(low: float, high: float) -> float:
    """A divisor that keeps squares from overflowing and vanishing; 1 for usual numbers."""
    largest = max(abs(low), abs(high))
    return largest if 0 < largest < math.inf and not 1e-100 < largest < 1e100 else 1.0


class _Histogram:
    """Counts in BINS equal bins.

    torch.histc is not used: it splits even small blocks among threads, and takes about three times
    as long for them.
    """

    def __init__(self, low: float, high: float) -> None:
        if low == high:
            spread = abs(low) / 2 or 0.5
            most = sys.float_info.max
            low, high = max(low - spread, -most), min(high + spread, most)
        self._low, self._high = low, high
        # Where high − low overflows float64, everything is divided by four first.
        self._shrunk = 1.0 if math.isfinite(high - low) else 0.25
        self._counts = torch.zeros(BINS, dtype=torch.int64)

    def add(self, values: torch.Tensor) -> None:
        without_nan = _without_nan(values)
        if without_nan.numel():
            low, high = self._low * self._shrunk, self._high * self._shrunk
            shrunk = without_nan * self._shrunk if self._shrunk < 1 else without_nan
            at = (shrunk - low).div_(high - low).mul_(BINS).to(torch.int64).clamp_(0, BINS - 1)
            self._counts += torch.bincount(at, minlength=BINS)

    def counted(self) -> Counts | None:
        if not self._low < self._high:
            return None
        position = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
        bin_edges = self._low * (1 - position) + self._high * position
        return Counts(tuple(bin_edges.tolist()), tuple(self._counts.tolist()))


def _without_nan(values: torch.Tensor) -> torch.Tensor:
    is_nan = values.isnan()
    return values[~is_nan] if bool(is_nan.any()) else values


def _filters(
    a: TensorEntry, b: TensorEntry, channels: tuple[float, ...], progress: Report
) -> Filters | None:
    """The filters of a convolution, those that changed most first."""
    if len(a.shape) != 4 or not channels or not _drawable(a.shape):
        return None
    if any(entry.dtype.startswith("complex") for entry in (a, b)):
        return None
    order = most_changed(channels)[:MAX_FILTERS]
    in_a, in_b = (_mean_filters(entry, order, progress) for entry in (a, b))
    return Filters(tuple(order), len(channels), in_a, in_b, in_b - in_a)


def most_changed(channels: Sequence[float]) -> list[int]:
    """The indexes of the channels by their change, the largest first and NaN last."""
    return sorted(
        range(len(channels)),
        key=lambda index: math.inf if math.isnan(channels[index]) else -channels[index],
    )


def _mean_filters(entry: TensorEntry, order: Sequence[int], progress: Report) -> torch.Tensor:
    """The means of some filters over their input channels, float32 [filters, height, width].

    Each filter is read on its own where the tensor is plain; else they are picked from all
    elements, because scales or pieces must be applied to the whole.
    """
    if entry.form is None:
        return torch.stack(
            [
                read_tensor(rows(entry, at, at + 1))[0].to(torch.float64).mean(0).to(torch.float32)
                for at in order
            ]
        )
    inner = entry.numel // entry.shape[0]
    picked = torch.empty(len(order), inner, dtype=torch.float64)
    at = 0
    for block in number_blocks(entry):
        stop = at + block.numel()
        for line, index in enumerate(order):
            left, right = max(at, index * inner), min(stop, (index + 1) * inner)
            if left < right:
                picked[line, left - index * inner : right - index * inner] = block[
                    left - at : right - at
                ].to(torch.float64)
        at = stop
        progress(1, 1, entry.key)
    return picked.view(len(order), *entry.shape[1:]).mean(1).to(torch.float32)


def _drawable(shape: tuple[int, ...]) -> bool:
    kernel = shape[2:]
    small = max(kernel) <= MAX_KERNEL and math.prod(shape[1:]) <= MAX_FILTER
    return small and math.prod(kernel) > 1
