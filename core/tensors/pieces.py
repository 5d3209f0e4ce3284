"""Tensors that are stored in pieces: joined as a whole, or box by box in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod

import torch

from core.checkpoint import Piece, Pieces, TensorEntry

Reader = Callable[[TensorEntry], torch.Tensor]


def read_pieces(form: Pieces, whole: torch.Tensor, read: Reader) -> None:
    """Fill `whole` from its pieces; `read` reads the tensor of a piece."""
    for piece in form.pieces:
        box = tuple(
            slice(start, start + length)
            for start, length in zip(piece.offsets, piece.entry.shape, strict=True)
        )
        whole[box] = read(piece.entry)


def piece_chunks(
    entry: TensorEntry, form: Pieces, dtype: torch.dtype, most: int, read: Reader
) -> Iterator[torch.Tensor]:
    """The entry's elements in C order, as 1-D tensors of at most `most` elements of that dtype."""
    for start, lengths in _boxes(entry.shape, most):
        box = torch.empty(lengths, dtype=dtype)
        for piece in form.pieces:
            _fill(box, start, piece, read)
        yield box.reshape(-1)


def _boxes(shape: tuple[int, ...], most: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Boxes that cover a shape in C order, each (start, length along each dimension)."""
    if not shape or prod(shape) <= most:
        yield (0,) * len(shape), shape
        return
    inner = prod(shape[1:])
    if inner > most:
        for index in range(shape[0]):
            for start, lengths in _boxes(shape[1:], most):
                yield (index, *start), (1, *lengths)
        return
    rows = max(1, most // inner)
    for index in range(0, shape[0], rows):
        yield (index, *(0,) * (len(shape) - 1)), (min(rows, shape[0] - index), *shape[1:])


def _fill(box: torch.Tensor, start: tuple[int, ...], piece: Piece, read: Reader) -> None:
    """Copy the part of a piece that lies in the box; `start` is the box's first index."""
    entry = piece.entry
    first = [max(a, b) for a, b in zip(start, piece.offsets, strict=True)]
    last = [
        min(a + length, b + size)
        for a, length, b, size in zip(start, box.shape, piece.offsets, entry.shape, strict=True)
    ]
    if any(stop <= begin for begin, stop in zip(first, last, strict=True)):
        return
    shape = tuple(stop - begin for begin, stop in zip(first, last, strict=True))
    skipped = sum(
        (begin - offset) * stride
        for begin, offset, stride in zip(first, piece.offsets, entry.stride, strict=True)
    )
    part = replace(entry, shape=shape, storage_offset=entry.storage_offset + skipped)
    place = tuple(
        slice(begin - offset, stop - offset)
        for begin, stop, offset in zip(first, last, start, strict=True)
    )
    box[place] = read(part)
