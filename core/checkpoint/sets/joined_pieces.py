"""Joins the pieces of a tensor that several ranks saved, if they cover it without overlaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from core.checkpoint.containers.budget import MoreThanLoupeReads, spend
from core.checkpoint.entries import Piece, Pieces, TensorEntry
from core.checkpoint.pickles.inert import InertTensor
from core.checkpoint.pickles.tensor_rebuilds import row_major
from core.errors import CheckpointError

MAX_SPLIT = 6
"""Dimensions along which one tensor may be split: device meshes have at most as many."""

Offsets = tuple[int, ...]
"""A position, or a length, along each dimension, in elements."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that was read: the piece of the whole tensor, and the tensor in the chunk's tree."""

    piece: Piece
    tensor: InertTensor


def joined_chunks(
    key: str, size: Offsets, chunks: Sequence[Chunk]
) -> tuple[InertTensor, TensorEntry]:
    """The whole tensor and its entry: those of its only piece, or a stand-in with the pieces."""
    filled = [chunk for chunk in chunks if chunk.piece.entry.numel] or chunks[:1]
    if len(filled) == 1 and filled[0].tensor.shape == size:
        return filled[0].tensor, filled[0].piece.entry
    stride = row_major(size)
    tensor = InertTensor(None, filled[0].tensor.dtype, size, stride, 0)
    pieces = Pieces(tuple(chunk.piece for chunk in filled))
    return tensor, TensorEntry(key, tensor.dtype, size, stride, 0, None, origin=key, form=pieces)


def check_cover(
    key: str, size: Offsets, pieces: Sequence[Piece], unsound: Callable[[str], CheckpointError]
) -> None:
    """Raise what `unsound` makes unless the pieces cover the tensor without holes and overlaps."""
    for piece in pieces:
        shape = piece.entry.shape
        if len(piece.offsets) != len(size) or len(shape) != len(size):
            raise unsound(f"{key[:200]} has a piece of another rank")
        reach = zip(piece.offsets, shape, size, strict=True)
        if any(offset + length > extent for offset, length, extent in reach):
            raise unsound(f"a piece of {key[:200]} reaches beyond it")
    filled = [piece for piece in pieces if piece.entry.numel]
    if sum(piece.entry.numel for piece in filled) != prod(size):
        raise unsound(f"the pieces of {key[:200]} have more or fewer elements than it has")
    split = [
        axis
        for axis, length in enumerate(size)
        if any(piece.entry.shape[axis] != length for piece in filled)
    ]
    if len(split) > MAX_SPLIT:
        raise MoreThanLoupeReads(f"{key[:200]} is split along more than {MAX_SPLIT} dimensions")
    spend(len(filled) << len(split))  # each piece has as many corners as 2 to the power of these
    # Give the corners of each box alternating signs. If boxes tile a larger box, their corners
    # cancel out, except for those of the larger box.
    signs = _corners([0] * len(split), [size[axis] for axis in split])
    for piece in filled:
        start = [piece.offsets[axis] for axis in split]
        stop = [piece.offsets[axis] + piece.entry.shape[axis] for axis in split]
        for corner, sign in _corners(start, stop).items():
            signs[corner] = signs.get(corner, 0) - sign
    if filled and any(signs.values()):
        raise unsound(f"two pieces of {key[:200]} overlap")


def _corners(start: Sequence[int], stop: Sequence[int]) -> dict[Offsets, int]:
    """The corners of a box that is not empty, each with the sign 1 or −1."""
    corners: dict[Offsets, int] = {(): 1}
    for first, last in zip(start, stop, strict=True):
        corners = {
            (*corner, at): sign * side
            for corner, sign in corners.items()
            for at, side in ((first, 1), (last, -1))
        }
    return corners
