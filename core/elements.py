"""The elements of stored tensors as float64, block by block, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from core.checkpoint.entries import TensorEntry
from core.checkpoint.tensors import chunks

BLOCK = 3 << 13
"""Elements a block: three float64 blocks stay in a core's cache, which is what makes it fast.

Fewer than ATen's grain (`at::internal::GRAIN_SIZE`, 32768): beyond it torch shares each small step
among threads, and on a busy server they wait for one another far longer than they work. For the
same reason nothing here calls BLAS (`torch.dot`), which shares even smaller steps.
"""

CHUNK_BYTES = BLOCK * 32
"""Bytes read at once: whole blocks for every size of element."""


def blocks(entry: TensorEntry, size: int = BLOCK) -> Iterator[torch.Tensor]:
    """The elements in logical (C) order as 1-D tensors of the entry's own dtype.

    Each holds `size` elements, the last one the rest; so the blocks of two entries with as many
    elements go together. A block is valid until the next one is asked for.
    Raises SourceError where the bytes are gone.
    """
    rest: torch.Tensor | None = None
    for chunk in chunks(entry, max(CHUNK_BYTES, 16 * size)):
        piece = chunk if rest is None else torch.cat((rest, chunk))
        whole = piece.numel() - piece.numel() % size
        for start in range(0, whole, size):
            yield piece[start : start + size]
        rest = _kept(piece[whole:]) if whole < piece.numel() else None
    if rest is not None:
        yield rest


def _kept(piece: torch.Tensor) -> torch.Tensor:
    """A copy, by its bytes: torch cannot copy elements of every dtype."""
    return piece.view(torch.uint8).clone().view(piece.dtype)


def float64_buffer(size: int = BLOCK) -> torch.Tensor:
    """Room for one block of any dtype; a fresh one a block would cost more than the sums."""
    return torch.empty(2 * size, dtype=torch.float64)


def as_float64(block: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """The block's values as float64, written into the buffer; a view of it is returned.

    Exact for every dtype but integers beyond 2^53. Complex values become twice as many elements:
    real part, imaginary part.
    """
    if block.is_complex():
        block = torch.view_as_real(block.to(torch.complex128)).reshape(-1)
    return buffer[: block.numel()].copy_(block)


def exact_integers(block: torch.Tensor) -> torch.Tensor | None:
    """The block as int64 in which the order and the differences of its integers are kept.

    None where float64 holds every value of the dtype anyway. uint64 is shifted by -2^63 (see
    `integer_shift`).
    """
    if block.dtype == torch.int64:
        return block
    if block.dtype == torch.uint64:
        return block.view(torch.int64) ^ torch.iinfo(torch.int64).min
    return None


def integer_shift(dtype: torch.dtype) -> int:
    """What to add to a value of `exact_integers` for the stored value."""
    return 1 << 63 if dtype == torch.uint64 else 0
