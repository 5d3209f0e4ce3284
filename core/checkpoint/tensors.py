"""The one place where a checkpoint's bytes become tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import torch

from core.checkpoint.entries import ITEMSIZES, Pieces, Record, TensorEntry
from core.checkpoint.pieces import piece_chunks, read_pieces
from core.errors import CheckpointError

QUANTIZED = {"quint8": "uint8", "qint8": "int8", "qint32": "int32"}
"""Quantized dtypes are read as their integers."""


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of that name; raises CheckpointError where this PyTorch has none."""
    found = getattr(torch, QUANTIZED.get(name, name), None)
    if not isinstance(found, torch.dtype):
        raise CheckpointError(
            f"This PyTorch ({torch.__version__}) has no dtype {name}.", "Install a newer one."
        )
    return found


def read_tensor(entry: TensorEntry) -> torch.Tensor:
    """The tensor as a contiguous one on the CPU, of the entry's shape and dtype.

    Raises SourceError where the bytes are gone, CheckpointError for a tensor without bytes.
    """
    stored = torch_dtype(entry.stored_dtype)
    if entry.numel == 0:
        return torch.empty(entry.shape, dtype=torch_dtype(entry.dtype))
    if not isinstance(entry.form, Pieces):
        _record(entry)
    tensor = torch.empty(entry.shape, dtype=stored)
    if isinstance(entry.form, Pieces):
        read_pieces(entry.form, tensor, read_tensor)
    elif _is_contiguous(entry):
        _fill(entry, entry.storage_offset, tensor)
    else:
        tensor.copy_(_strided(entry, entry.storage_offset, entry.shape, entry.stride, stored))
    for transform in entry.transforms:
        tensor = tensor.to(torch_dtype(transform.dtype))
    return tensor


def read_tensor_into(entry: TensorEntry, tensor: torch.Tensor) -> None:
    """Fill a CPU tensor of the same shape; another dtype is converted to.

    The bytes go straight into a contiguous tensor of the stored dtype. Raises as read_tensor does.
    """
    straight = (
        tensor.is_contiguous()
        and not entry.transforms
        and tensor.dtype == torch_dtype(entry.dtype)
        and tensor.device.type == "cpu"
        and entry.form is None
        and _is_contiguous(entry)
    )
    if entry.numel == 0:
        return
    with torch.no_grad():
        if straight:
            _fill(entry, entry.storage_offset, tensor)
        else:
            tensor.copy_(read_tensor(entry))


def chunks(entry: TensorEntry, max_bytes: int = 16 << 20) -> Iterator[torch.Tensor]:
    """The elements in logical (C) order as 1-D tensors of at most `max_bytes` stored bytes.

    A chunk is valid until the next is asked for. Raises as read_tensor does.
    """
    if entry.numel == 0:
        return
    stored = torch_dtype(entry.stored_dtype)
    most = max(1, max_bytes // ITEMSIZES[entry.stored_dtype])
    if isinstance(entry.form, Pieces):
        pieces = piece_chunks(entry, entry.form, stored, most, read_tensor)
    else:
        _record(entry)
        in_order = _is_contiguous(entry)
        pieces = (_runs if in_order else _blocks)(entry, stored, most)
    for piece in pieces:
        converted = piece
        for transform in entry.transforms:
            converted = converted.to(torch_dtype(transform.dtype))
        yield converted


def _runs(entry: TensorEntry, dtype: torch.dtype, most: int) -> Iterator[torch.Tensor]:
    buffer = torch.empty(min(most, entry.numel), dtype=dtype)
    for start in range(0, entry.numel, most):
        piece = buffer[: min(most, entry.numel - start)]
        _fill(entry, entry.storage_offset + start, piece)
        yield piece


def _blocks(entry: TensorEntry, dtype: torch.dtype, most: int) -> Iterator[torch.Tensor]:
    """A view's elements, split along its leading dimensions until a part is small enough."""

    def part(
        shape: tuple[int, ...], stride: tuple[int, ...], offset: int
    ) -> Iterator[torch.Tensor]:
        numel = 1
        for length in shape:
            numel *= length
        if (numel <= most and _span(shape, stride) <= 4 * most) or not shape:
            yield _strided(entry, offset, shape, stride, dtype).reshape(-1)
            return
        inner = numel // shape[0]
        step = max(1, most // inner) if inner <= most else 1
        if len(shape) == 1 or step > 1:
            step = min(step, max(1, 4 * most // max(1, stride[0])))
            for start in range(0, shape[0], step):
                rows = min(step, shape[0] - start)
                yield _strided(
                    entry, offset + start * stride[0], (rows, *shape[1:]), stride, dtype
                ).reshape(-1)
            return
        for index in range(shape[0]):
            yield from part(shape[1:], stride[1:], offset + index * stride[0])

    yield from part(entry.shape, entry.stride, entry.storage_offset)


def _strided(
    entry: TensorEntry,
    offset: int,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    dtype: torch.dtype,
) -> torch.Tensor:
    """A view, from the run of bytes that it spans."""
    span = torch.empty(_span(shape, stride), dtype=dtype)
    _fill(entry, offset, span)
    return span.as_strided(shape, stride)


def _span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    return 1 + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))


def _is_contiguous(entry: TensorEntry) -> bool:
    step = 1
    for length, stride in zip(reversed(entry.shape), reversed(entry.stride), strict=True):
        if length != 1 and stride != step:
            return False
        step *= length
    return True


def _record(entry: TensorEntry) -> Record:
    if entry.record is None:
        raise CheckpointError(
            f"The tensor {entry.key} lies on the meta device and has no data.",
            "Save the checkpoint again from a model that holds its weights.",
        )
    return entry.record


def _fill(entry: TensorEntry, offset: int, tensor: torch.Tensor) -> None:
    """Read the record's bytes from that element on into a contiguous CPU tensor."""
    record = _record(entry)
    nbytes = tensor.numel() * tensor.element_size()
    if nbytes == 0:
        return
    memory = (ctypes.c_char * nbytes).from_address(tensor.data_ptr())
    start = record.offset + offset * ITEMSIZES[entry.stored_dtype]
    record.source.read_into(start, memoryview(memory).cast("B"))
