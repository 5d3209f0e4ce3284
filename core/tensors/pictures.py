"""A tensor as a picture: filters as a grid, a matrix as a heat map, a vector as a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import torch

from core.checkpoint import Derived, Nested, Pieces, Quantized, Sparse, TensorEntry
from core.progress import Progress
from core.tensors.elements import numbers
from core.tensors.reading import read_tensor

MAX_FILTERS = 64
"""Filters in a grid at most: the first ones."""

MAX_CELLS = 256
"""Rows and columns of a heat map at most; more are averaged into blocks of equal size."""

MAX_POINTS = 1024
"""Points of a line at most."""

READ_LIMIT = 16 << 20
"""Elements of the filters that are read at most; with more channels, the first alone is shown."""


class PictureKind(StrEnum):
    """How `Picture.values` is meant."""

    FILTERS = "filters"
    MATRIX = "matrix"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Picture:
    """What to draw, and what it shows.

    `values` is uint8 [height, width, 3] for filters (each scaled to its own range, on a grid with
    lines of one pixel between), float32 [rows, columns] for a matrix and [1, points] for a line,
    NaN where a cell has no finite element. `block` is how many rows and columns of the tensor
    went into one cell.
    """

    kind: PictureKind
    values: torch.Tensor
    caption: str
    block: tuple[int, int] = (1, 1)


def picture(entry: TensorEntry, progress: Progress | None = None) -> Picture | None:
    """Draw a tensor; None where there is nothing to see (a scalar, no elements, no bytes), and for
    a sparse or a nested one, whose values have no places side by side.

    4-D tensors with a kernel larger than 1 × 1 are filters; of others, dimensions of 1 are left
    out, and all but the first are laid side by side. Reads in bounded memory; progress counts
    elements. Raises SourceError where the bytes are gone, and Cancelled.
    """
    if not entry.records or entry.numel < 2 or isinstance(entry.form, Sparse | Nested):
        return None
    kernel = entry.shape[2:] if len(entry.shape) == 4 else ()
    if kernel and 1 < math.prod(kernel) <= MAX_CELLS**2 and not entry.dtype.startswith("complex"):
        return _filters(entry)
    return _averaged(entry, progress)


def _filters(entry: TensorEntry) -> Picture:
    filters, channels, height, width = entry.shape
    room = max(1, READ_LIMIT // (channels * height * width))
    alone = channels > 1 and room < min(filters, 16)
    if alone:
        channels, room = 1, max(1, READ_LIMIT // (height * width))
    shown = min(filters, MAX_FILTERS, room)
    if isinstance(entry.form, Pieces | Derived):
        values = read_tensor(entry)[:shown, :channels].to(torch.float32)
    else:
        first = replace(entry, shape=(shown, channels, height, width))
        values = read_tensor(first).to(torch.float32)
    if channels != 3:
        values = values.mean(dim=1, keepdim=True)
    how = "as red, green and blue"
    if channels != 3:
        how = "the first channel" if alone else f"the mean of their {channels} channels"
        how = "" if entry.shape[1] == 1 else how
    which = f"the first {shown} of {filters} filters" if shown < filters else f"{filters} filters"
    scaled = "each scaled to its own range"
    if isinstance(entry.form, Quantized):
        scaled = f"their integers, {scaled}"
    parts = [which, f"{height} × {width}", how, scaled]
    return Picture(PictureKind.FILTERS, _grid(_scaled(values)), ", ".join(filter(None, parts)))


def _scaled(values: torch.Tensor) -> torch.Tensor:
    """uint8 [filters, 3, height, width], each filter from its own smallest to its largest."""
    values = values.nan_to_num(0.0, 0.0, 0.0)
    flat = values.flatten(1)
    low, high = flat.amin(1)[:, None, None, None], flat.amax(1)[:, None, None, None]
    unit = torch.where(high > low, (values - low) / (high - low).clamp_min(1e-38), 0.5)
    return (unit * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)


def _grid(filters: torch.Tensor) -> torch.Tensor:
    """Tile [n, 3, h, w] into [height, width, 3], a grey line between."""
    count, _, height, width = filters.shape
    columns = min(count, max(1, math.ceil(math.sqrt(count * height / width))))
    rows = math.ceil(count / columns)
    canvas = torch.full((3, rows * (height + 1) - 1, columns * (width + 1) - 1), 128)
    canvas = canvas.to(torch.uint8)
    for index, one in enumerate(filters):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        canvas[:, top : top + height, left : left + width] = one
    return canvas.permute(1, 2, 0).contiguous()


def _averaged(entry: TensorEntry, progress: Progress | None) -> Picture:
    cells = cells_of(entry.shape)
    for piece in numbers(entry):
        cells.add((piece.abs() if piece.is_complex() else piece).to(torch.float64))
        if progress is not None:
            progress.report(cells.done, entry.numel, entry.key)
    return cells.picture()


class Cells:
    """The means of equal blocks of a matrix whose elements come in C order, piece by piece."""

    def __init__(self, shape: tuple[int, int], limit: tuple[int, int]) -> None:
        """`shape` of the matrix, and how many rows and columns of cells there may be."""
        rows, columns = self.shape = shape
        self.block = (math.ceil(rows / limit[0]), math.ceil(columns / limit[1]))
        cells = (math.ceil(rows / self.block[0]), math.ceil(columns / self.block[1]))
        self.done = 0
        self._sums = torch.zeros(cells, dtype=torch.float64)
        self._missing = torch.zeros(cells, dtype=torch.float64)

    def add(self, values: torch.Tensor) -> None:
        """Add the next elements, float64; those that are not finite are left out."""
        columns = self.shape[1]
        if not math.isfinite(float(values.sum())):
            odd = (~values.isfinite()).to(torch.float64)
            values = values.nan_to_num(0.0, 0.0, 0.0)
            for at, part in _rows(odd, self.done, columns):
                _add(self._missing, part, at, columns, self.block)
        for at, part in _rows(values, self.done, columns):
            _add(self._sums, part, at, columns, self.block)
        self.done += values.numel()

    def picture(self) -> Picture:
        """The means so far."""
        rows, columns = self.shape
        held = _elements(rows, self.block[0])[:, None] * _elements(columns, self.block[1])
        counts = held - self._missing
        means = torch.where(counts > 0, self._sums / counts, torch.nan).to(torch.float32)
        kind = PictureKind.LINE if rows == 1 else PictureKind.MATRIX
        return Picture(kind, means, _caption(self.shape, self.block), self.block)


def cells_of(shape: Sequence[int]) -> Cells:
    """The cells of a tensor with two elements or more: dimensions of 1 are left out, and all but
    the first are laid side by side."""
    long = [length for length in shape if length > 1]
    if len(long) == 1:
        return Cells((1, long[0]), (1, MAX_POINTS))
    return Cells((long[0], math.prod(long[1:])), (MAX_CELLS, MAX_CELLS))


def _rows(values: torch.Tensor, start: int, columns: int) -> list[tuple[int, torch.Tensor]]:
    """Cut a run of elements that begins at `start` into [rows, columns] pieces with their start."""
    head = min(-start % columns, values.numel())
    body = (values.numel() - head) // columns * columns
    pieces = (values[:head][None], values[head : head + body].view(-1, columns))
    starts = (start, start + head, start + head + body)
    parts = (*pieces, values[head + body :][None])
    return [(at, part) for at, part in zip(starts, parts, strict=True) if part.numel()]


def _add(
    sums: torch.Tensor, part: torch.Tensor, start: int, columns: int, block: tuple[int, int]
) -> None:
    """Add a [rows, some columns] piece, whose first element is at `start`, into its cells."""
    first_row, first_column = divmod(start, columns)
    low, left = divmod(first_column, block[1])
    right = -(left + part.shape[1]) % block[1]
    padded = torch.nn.functional.pad(part, (left, right))
    within = padded.view(part.shape[0], -1, block[1]).sum(2)
    row_cells = torch.arange(first_row, first_row + part.shape[0]) // block[0]
    columns_of = torch.arange(low, low + within.shape[1])
    places = row_cells[:, None] * sums.shape[1] + columns_of
    # On a run: over a matrix, index_add_ shares even small steps among threads (see core/elements).
    sums.view(-1).index_add_(0, places.view(-1), within.reshape(-1))


def _elements(length: int, block: int) -> torch.Tensor:
    """How many of `length` elements each block holds; the last one may hold fewer."""
    starts = torch.arange(0, length, block)
    return (length - starts).clamp_max(block).to(torch.float64)


def _caption(shape: tuple[int, int], block: tuple[int, int]) -> str:
    rows, columns = shape
    if rows == 1:
        text = f"{columns} elements"
        return text if block[1] == 1 else f"{text}, each point the mean of {block[1]}"
    text = f"{rows} × {columns}"
    return text if block == (1, 1) else f"{text}, each cell the mean of {block[0]} × {block[1]}"
