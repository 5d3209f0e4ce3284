"""A tensor as an image: filters as a grid, a matrix as a heat map, a vector as a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import torch

from core.checkpoint import Derived, Nested, Pieces, Quantized, Sparse, TensorEntry
from core.progress import Report, ignore
from core.tensors.elements import number_blocks
from core.tensors.reading import read_tensor

MAX_FILTERS = 64
"""The most filters in a grid; of more, the first ones are shown."""

MAX_CELLS = 256
"""The most rows, and the most columns, of a heat map; more are averaged into equal blocks."""

MAX_POINTS = 1024
"""The most points of a line."""

READ_LIMIT = 16 << 20
"""The most elements of filters that are read. Where too few filters would fit, only their first
channel is read."""


class ImageKind(StrEnum):
    """What `TensorImage.values` contains."""

    FILTERS = "filters"
    MATRIX = "matrix"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class TensorImage:
    """What to draw, with a caption.

    `values` is uint8 [height, width, 3] for filters (each scaled to its own range, in a grid with
    lines of one pixel between them), float32 [rows, columns] for a matrix and float32 [1, points]
    for a line; a cell without a finite element is NaN. `block` is the number of rows and of columns
    of the tensor that are averaged into one cell.
    """

    kind: ImageKind
    values: torch.Tensor
    caption: str
    block: tuple[int, int] = (1, 1)


def tensor_image(entry: TensorEntry, progress: Report = ignore) -> TensorImage | None:
    """The image of a tensor; None where there is nothing to see.

    That is a scalar, a tensor without elements or bytes, and a sparse or nested one, whose stored
    values form no grid. A 4-D tensor with a kernel larger than 1 × 1 becomes filters. Any other
    becomes a matrix: dimensions of size 1 are dropped, and all but the first are flattened. Reads
    in bounded memory; `progress` counts elements. Raises SourceError where the bytes are gone, and
    Cancelled.
    """
    if not entry.records or entry.numel < 2 or isinstance(entry.form, Sparse | Nested):
        return None
    kernel = entry.shape[2:] if len(entry.shape) == 4 else ()
    if kernel and 1 < math.prod(kernel) <= MAX_CELLS**2 and not entry.dtype.startswith("complex"):
        return _filters(entry)
    return _averaged(entry, progress)


def _filters(entry: TensorEntry) -> TensorImage:
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
    return TensorImage(ImageKind.FILTERS, _grid(_scaled(values)), ", ".join(filter(None, parts)))


def _scaled(values: torch.Tensor) -> torch.Tensor:
    """[filters, 1 or 3, height, width] as uint8 [filters, 3, height, width].

    Each filter's smallest value becomes 0 and its largest 255.
    """
    values = values.nan_to_num(0.0, 0.0, 0.0)
    flat = values.flatten(1)
    low, high = flat.amin(1)[:, None, None, None], flat.amax(1)[:, None, None, None]
    from_0_to_1 = torch.where(high > low, (values - low) / (high - low).clamp_min(1e-38), 0.5)
    return (from_0_to_1 * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)


def _grid(filters: torch.Tensor) -> torch.Tensor:
    """Tile [n, 3, h, w] into [height, width, 3] with grey lines between the filters."""
    count, _, height, width = filters.shape
    columns = min(count, max(1, math.ceil(math.sqrt(count * height / width))))
    rows = math.ceil(count / columns)
    canvas = torch.full((3, rows * (height + 1) - 1, columns * (width + 1) - 1), 128)
    canvas = canvas.to(torch.uint8)
    for index, pixels in enumerate(filters):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        canvas[:, top : top + height, left : left + width] = pixels
    return canvas.permute(1, 2, 0).contiguous()


def _averaged(entry: TensorEntry, progress: Report) -> TensorImage:
    cells = cells_of(entry.shape)
    for piece in number_blocks(entry):
        cells.add((piece.abs() if piece.is_complex() else piece).to(torch.float64))
        progress(cells.done, entry.numel, entry.key)
    return cells.image()


class Cells:
    """The mean of each block of a matrix whose elements come in C order, piece by piece."""

    def __init__(self, shape: tuple[int, int], limit: tuple[int, int]) -> None:
        """`shape` is the matrix's; `limit` is the most rows and columns of cells."""
        rows, columns = self.shape = shape
        self.block = (math.ceil(rows / limit[0]), math.ceil(columns / limit[1]))
        cells = (math.ceil(rows / self.block[0]), math.ceil(columns / self.block[1]))
        self.done = 0
        self._sums = torch.zeros(cells, dtype=torch.float64)
        self._missing = torch.zeros(cells, dtype=torch.float64)

    def add(self, values: torch.Tensor) -> None:
        """Add the next elements, float64 [n]; those that are not finite are left out."""
        columns = self.shape[1]
        if not math.isfinite(float(values.sum())):
            not_finite = (~values.isfinite()).to(torch.float64)
            values = values.nan_to_num(0.0, 0.0, 0.0)
            for at, part in _rows(not_finite, self.done, columns):
                _add(self._missing, part, at, columns, self.block)
        for at, part in _rows(values, self.done, columns):
            _add(self._sums, part, at, columns, self.block)
        self.done += values.numel()

    def image(self) -> TensorImage:
        """The means of the elements so far."""
        rows, columns = self.shape
        in_cell = _elements(rows, self.block[0])[:, None] * _elements(columns, self.block[1])
        counts = in_cell - self._missing
        means = torch.where(counts > 0, self._sums / counts, torch.nan).to(torch.float32)
        kind = ImageKind.LINE if rows == 1 else ImageKind.MATRIX
        return TensorImage(kind, means, _caption(self.shape, self.block), self.block)


def cells_of(shape: Sequence[int]) -> Cells:
    """Empty cells for a tensor with two elements or more.

    Dimensions of size 1 are dropped, and all but the first are flattened into columns.
    """
    long = [length for length in shape if length > 1]
    if len(long) == 1:
        return Cells((1, long[0]), (1, MAX_POINTS))
    return Cells((long[0], math.prod(long[1:])), (MAX_CELLS, MAX_CELLS))


def _rows(values: torch.Tensor, start: int, columns: int) -> list[tuple[int, torch.Tensor]]:
    """Split the elements from index `start` on into up to three pieces: the rest of a row, whole
    rows and the begin of a row. Each is (index of its first element, [rows, columns])."""
    head = min(-start % columns, values.numel())
    body = (values.numel() - head) // columns * columns
    pieces = (values[:head][None], values[head : head + body].view(-1, columns))
    starts = (start, start + head, start + head + body)
    parts = (*pieces, values[head + body :][None])
    return [(at, part) for at, part in zip(starts, parts, strict=True) if part.numel()]


def _add(
    sums: torch.Tensor, part: torch.Tensor, start: int, columns: int, block: tuple[int, int]
) -> None:
    """Add a [rows, some columns] piece, whose first element has index `start`, to its cells."""
    first_row, first_column = divmod(start, columns)
    low, left = divmod(first_column, block[1])
    right = -(left + part.shape[1]) % block[1]
    padded = torch.nn.functional.pad(part, (left, right))
    within = padded.view(part.shape[0], -1, block[1]).sum(2)
    row_cells = torch.arange(first_row, first_row + part.shape[0]) // block[0]
    columns_of = torch.arange(low, low + within.shape[1])
    places = row_cells[:, None] * sums.shape[1] + columns_of
    # Flat: on a matrix, index_add_ splits even small steps among threads (see elements.BLOCK).
    sums.view(-1).index_add_(0, places.view(-1), within.reshape(-1))


def _elements(length: int, block: int) -> torch.Tensor:
    """float64 [blocks]: how many of `length` elements are in each block; the last may have
    fewer."""
    starts = torch.arange(0, length, block)
    return (length - starts).clamp_max(block).to(torch.float64)


def _caption(shape: tuple[int, int], block: tuple[int, int]) -> str:
    rows, columns = shape
    if rows == 1:
        text = f"{columns} elements"
        return text if block[1] == 1 else f"{text}, each point the mean of {block[1]}"
    text = f"{rows} × {columns}"
    return text if block == (1, 1) else f"{text}, each cell the mean of {block[0]} × {block[1]}"
