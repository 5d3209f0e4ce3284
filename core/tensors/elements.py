"""The elements of stored tensors as float64, block by block, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch

from core.checkpoint import Quantized, TensorEntry, stored_values
from core.errors import CheckpointError, LoupeError
from core.tensors.reading import chunks, read_tensor
from core.wording import count

BLOCK = 3 << 13
"""Elements per block: three float64 blocks fit in a core's cache, which makes the work fast.

They are fewer than ATen's grain size (`at::internal::GRAIN_SIZE`, 32768). Beyond it, torch splits
each small step among threads, which on a busy server wait for one another far longer than they
work. For the same reason nothing here calls BLAS (`torch.dot`), which splits even smaller steps.
"""

CHUNK_BYTES = BLOCK * 32
"""Bytes read at once: a whole number of blocks for every size of element."""


def element_blocks(entry: TensorEntry, size: int = BLOCK) -> Iterator[torch.Tensor]:
    """The elements in logical (C) order as contiguous 1-D tensors of the entry's own dtype.

    Each has `size` elements, and the last one has the rest. So the blocks of two entries with
    equally many elements correspond to each other. A block is valid until the next one is
    requested. Raises as `chunks` does.
    """
    rest: torch.Tensor | None = None
    for chunk in chunks(entry, max(CHUNK_BYTES, 16 * size)):
        # An expanded tensor has elements at a distance of 0, which torch views as no other dtype.
        elements = chunk.contiguous()
        piece = elements if rest is None else torch.cat((rest, elements))
        whole = piece.numel() - piece.numel() % size
        for start in range(0, whole, size):
            yield piece[start : start + size]
        rest = _kept(piece[whole:]) if whole < piece.numel() else None
    if rest is not None:
        yield rest


def number_blocks(entry: TensorEntry, size: int = BLOCK) -> Iterator[torch.Tensor]:
    """As `element_blocks`, but with the numbers that the elements stand for.

    A quantized tensor is dequantized to float32; of a sparse or nested tensor, the stored values
    are yielded. Raises as `element_blocks` does, and CheckpointError where the scales do not fit
    the tensor.
    """
    stored = stored_values(entry)
    if not isinstance(stored.form, Quantized) or stored.transforms:
        yield from element_blocks(stored, size)
        return
    scale, zero_point, inner = _scales(stored, stored.form)
    at = 0
    for block in element_blocks(stored, size):
        slices = torch.arange(at, at + block.numel()).div_(inner, rounding_mode="floor")
        channel = slices.remainder_(scale.numel())
        at += block.numel()
        dequantized = (block.to(torch.float64) - zero_point[channel]) * scale[channel]
        yield dequantized.to(torch.float32)


def _scales(entry: TensorEntry, form: Quantized) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The scales and zero points (float64 [n]), and how many consecutive elements share one."""
    axis = form.axis
    wanted, inner = 1, max(1, entry.numel)
    if axis is not None and -len(entry.shape) <= axis < len(entry.shape):
        axis %= len(entry.shape)
        wanted, inner = entry.shape[axis], prod(entry.shape[axis + 1 :])
    as_tensors = []
    for part in (form.scale, form.zero_point):
        if isinstance(part, TensorEntry):
            if part.numel != wanted:
                raise CheckpointError(
                    f"The quantized tensor {entry.key} has {count(part.numel)} scales where "
                    f"{count(wanted)} are needed.",
                    "The file is damaged: get it again from where it came from.",
                )
            as_tensors.append(read_tensor(part).reshape(-1).to(torch.float64))
        else:
            as_tensors.append(torch.full((wanted,), float(part), dtype=torch.float64))
    scale, zero_point = as_tensors
    return scale, zero_point, inner


def _kept(piece: torch.Tensor) -> torch.Tensor:
    """A copy as bytes, because torch cannot copy elements of every dtype."""
    return piece.view(torch.uint8).clone().view(piece.dtype)


def float64_buffer(size: int = BLOCK) -> torch.Tensor:
    """Room for one block of any dtype, to be reused: a new one per block would cost more than the
    sums. Complex elements take two float64 each."""
    return torch.empty(2 * size, dtype=torch.float64)


def as_float64(block: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    """The block's values as float64, written into the buffer; a view of it is returned.

    The result is exact, except for integers beyond 2^53. Complex values become twice as many
    elements: real part, imaginary part. Raises LoupeError for a dtype that torch cannot convert.
    """
    if block.is_complex():
        block = torch.view_as_real(block.to(torch.complex128)).reshape(-1)
    try:
        return buffer[: block.numel()].copy_(block)
    except NotImplementedError as error:
        name = str(block.dtype).removeprefix("torch.")
        raise LoupeError(
            f"This PyTorch cannot turn {name} elements into numbers.",
            "They can be compared by their bytes, and exported.",
        ) from error


def exact_integers(block: torch.Tensor) -> torch.Tensor | None:
    """The block as int64, with the same order and the same differences.

    None where float64 represents every value of the dtype. uint64 values are shifted by -2^63 (see
    `integer_shift`).
    """
    if block.dtype == torch.int64:
        return block
    if block.dtype == torch.uint64:
        return block.view(torch.int64) ^ torch.iinfo(torch.int64).min
    return None


def integer_shift(dtype: torch.dtype) -> int:
    """What to add to a value of `exact_integers` to get the stored value."""
    return 1 << 63 if dtype == torch.uint64 else 0
