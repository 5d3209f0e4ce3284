"""A tensor beside the other one as pictures: histograms, a map of the difference, the channels and
filters that changed most."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from core.checkpoint.entries import TensorEntry
from core.checkpoint.tensors import read_tensor
from core.compare.measurable import comparable
from core.compare.views import rows
from core.elements import numbers
from core.errors import LoupeError
from core.jobs import Progress
from core.picture import Picture, cells_of

BINS = 64
MAX_CHANNELS = 4096
"""Slices along the first dimension that are measured one by one."""

MAX_FILTERS = 16
MAX_KERNEL = 64
"""Rows and columns of a filter that is drawn."""

MAX_FILTER = 1 << 20
"""Elements of a filter that is read."""


@dataclass(frozen=True, slots=True)
class Counts:
    """`counts[i]` elements lie from `edges[i]` to `edges[i + 1]`, the last edge included."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters that changed most, by their index: `a`, `b` and `difference` are float32
    [filters, height, width], each the mean over the input channels."""

    indexes: tuple[int, ...]
    of: int
    a: torch.Tensor
    b: torch.Tensor
    difference: torch.Tensor


@dataclass(frozen=True, slots=True)
class TensorPair:
    """What is drawn of a pair. Elements that are not finite in both are left out (`left_out`).

    `a` and `b` have the same edges; they are None, as is `difference`, where nothing finite is
    there. `map` holds means of B minus A, None for a single element. `channels` are the relative L2
    of each slice along the first dimension; empty for tensors with less than two, and where there
    are very many.
    """

    a: Counts | None
    b: Counts | None
    difference: Counts | None
    map: Picture | None
    channels: tuple[float, ...]
    filters: Filters | None
    left_out: int


def tensor_pair(a: TensorEntry, b: TensorEntry, progress: Progress | None = None) -> TensorPair:
    """Read both twice, in bounded memory; progress counts elements of both passes.

    Complex numbers count by their magnitude, and their difference by its own; a quantized tensor's
    numbers are those that its scales give. Raises LoupeError where the two have no numbers to be
    compared, SourceError where the bytes are gone, and Cancelled.
    """
    if not comparable(a, b):
        raise LoupeError(
            f"{a.key} and {b.key} cannot be drawn side by side: their shapes differ, or one holds "
            "no data, or is sparse or nested.",
            "Choose a row whose tensors both files hold with the same shape.",
        )
    ranges, cells = _Ranges(a), cells_of(a.shape) if a.numel > 1 else None
    total, done = 2 * a.numel, 0
    for x, y, step in _blocks(a, b):
        ranges.add(x, y, step)
        if cells is not None:
            cells.add(step)
        done += x.numel()
        if progress is not None:
            progress.report(done, total, a.key)
    found = [_Histogram(*ranges.values), _Histogram(*ranges.values), _Histogram(*ranges.steps)]
    for x, y, step in _blocks(a, b):
        for histogram, values in zip(found, (x, y, step), strict=True):
            histogram.add(values)
        done += x.numel()
        if progress is not None:
            progress.report(done, total, a.key)
    channels = ranges.channels()
    in_a, in_b, difference = (histogram.counted() for histogram in found)
    return TensorPair(
        in_a,
        in_b,
        difference,
        cells.picture() if cells is not None else None,
        channels,
        _filters(a, b, channels),
        ranges.left_out,
    )


def _blocks(
    a: TensorEntry, b: TensorEntry
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """A's values, B's, and B minus A, as float64; NaN where one of the two is not finite."""
    for x, y in zip(numbers(a), numbers(b), strict=True):
        if x.is_complex() or y.is_complex():
            first, second = x.to(torch.complex128), y.to(torch.complex128)
            values = first.abs(), second.abs(), (second - first).abs()
        else:
            first, second = x.to(torch.float64), y.to(torch.float64)
            values = first, second, second - first
        odd = ~(values[0].isfinite() & values[1].isfinite())
        if bool(odd.any()):
            for one in values:
                one[odd] = math.nan
        yield values


class _Ranges:
    """What the first pass finds: the ranges, and the squares by channel."""

    def __init__(self, entry: TensorEntry) -> None:
        few = len(entry.shape) > 1 and 1 < entry.shape[0] <= MAX_CHANNELS
        self._inner = entry.numel // entry.shape[0] if few else 0
        self._squares = torch.zeros(2, entry.shape[0] if few else 0, dtype=torch.float64)
        self._at = 0
        self.values = [math.inf, -math.inf]
        self.steps = [math.inf, -math.inf]
        self.left_out = 0

    def add(self, x: torch.Tensor, y: torch.Tensor, step: torch.Tensor) -> None:
        if self._inner:
            at = torch.arange(self._at, self._at + step.numel())
            channel = at.div_(self._inner, rounding_mode="floor")
            for squares, values in zip(self._squares, (x, step), strict=True):
                squares.index_add_(0, channel, values.nan_to_num(0.0).square())
        self._at += step.numel()
        finite = ~step.isnan()
        here = int(finite.sum())
        self.left_out += step.numel() - here
        if here:
            for known, values in ((self.values, x), (self.values, y), (self.steps, step)):
                low, high = torch.aminmax(values[finite])
                known[:] = [min(known[0], float(low)), max(known[1], float(high))]

    def channels(self) -> tuple[float, ...]:
        before, moved = self._squares.sqrt()
        ratio = torch.where(moved == 0, 0.0, moved / before)
        return tuple(ratio.tolist())


class _Histogram:
    def __init__(self, low: float, high: float) -> None:
        if low == high:
            spread = abs(low) / 2 or 0.5
            low, high = low - spread, high + spread
        self._low, self._high = low, high
        self._counts = torch.zeros(BINS, dtype=torch.float64)

    def add(self, values: torch.Tensor) -> None:
        if self._low < self._high:
            self._counts += torch.histc(values[~values.isnan()], BINS, self._low, self._high)

    def counted(self) -> Counts | None:
        if not self._low < self._high:
            return None
        edges = torch.linspace(self._low, self._high, BINS + 1, dtype=torch.float64)
        return Counts(tuple(edges.tolist()), tuple(int(count) for count in self._counts.tolist()))


def _filters(a: TensorEntry, b: TensorEntry, channels: tuple[float, ...]) -> Filters | None:
    """The filters of a convolution, those that changed most first."""
    if len(a.shape) != 4 or not channels or not _drawable(a.shape):
        return None
    if any(entry.form is not None or entry.dtype.startswith("complex") for entry in (a, b)):
        return None
    order = sorted(range(len(channels)), key=lambda index: -channels[index])[:MAX_FILTERS]
    in_a, in_b = (torch.stack([_mean_filter(entry, at) for at in order]) for entry in (a, b))
    return Filters(tuple(order), len(channels), in_a, in_b, in_b - in_a)


def _mean_filter(entry: TensorEntry, index: int) -> torch.Tensor:
    return read_tensor(rows(entry, index, index + 1))[0].to(torch.float32).mean(0)


def _drawable(shape: tuple[int, ...]) -> bool:
    kernel = shape[2:]
    small = max(kernel) <= MAX_KERNEL and math.prod(shape[1:]) <= MAX_FILTER
    return small and math.prod(kernel) > 1
