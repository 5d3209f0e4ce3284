"""The one place where a checkpoint's bytes become tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import prod

import torch

from core.checkpoint import (
    ITEMSIZES,
    PACKED,
    Cast,
    Derived,
    Filled,
    Joined,
    Nested,
    Pieces,
    Quantized,
    Record,
    Resolve,
    Sparse,
    TensorEntry,
    lies_in_order,
)
from core.checkpoint.containers import LocalFile, file_of
from core.errors import CheckpointError
from core.tensors.arithmetic import derived, filled_chunks, joined_parts
from core.tensors.pieces import piece_chunks, read_pieces

QUANTIZED = {
    "quint8": "uint8",
    "qint8": "int8",
    "qint32": "int32",
    "quint4x2": "uint8",
    "quint2x4": "uint8",
}
"""Quantized dtypes → the dtype of their integers, as which they are read."""

CONVERT_BYTES = 4 << 20
"""Bytes that are converted at once: so few stay in a processor's cache."""

GAP_BYTES = 4 << 10
"""Bytes that may lie between two tensors that are read together. In a zip these are the headers and
the padding, about 200 bytes (torch/csrc/jit/serialization: kFieldAlignment is 64)."""

SMALL_BYTES = 1 << 20
_SMALL = ctypes.c_char * SMALL_BYTES
"""The ctypes type for every tensor of up to SMALL_BYTES; its memory is sliced to the right length.
A new type for each length would take ten times as long."""

SWAP_BYTES = 16 << 20
"""Bytes that are byte-swapped at once in a file from a big-endian machine."""


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of that name. Raises CheckpointError where this PyTorch has none."""
    dtype = getattr(torch, QUANTIZED.get(name, name), None)
    if not isinstance(dtype, torch.dtype):
        raise CheckpointError(
            f"This PyTorch ({torch.__version__}) has no dtype {name}.", "Install a newer one."
        )
    return dtype


def read_tensor(entry: TensorEntry) -> torch.Tensor:
    """The tensor on the CPU, of the entry's shape and dtype.

    It is contiguous. A sparse tensor has the layout that the file states, a nested one its rows. A
    quantized tensor is returned as its integers (`torch.Tensor.int_repr`, but one element per
    integer where they are smaller than a byte). A tensor that a fix derives from others is computed
    here.

    Raises SourceError where the bytes are gone, and CheckpointError for a tensor without bytes or
    with invalid indices, rows or parts.
    """
    if isinstance(entry.form, Sparse):
        return _transformed(_sparse(entry, entry.form), entry)
    if isinstance(entry.form, Nested):
        return _transformed(_nested(entry, entry.form), entry)
    stored = torch_dtype(entry.stored_dtype)
    if entry.numel == 0:
        return torch.empty(entry.shape, dtype=torch_dtype(entry.dtype))
    if isinstance(entry.form, Pieces):
        tensor = torch.empty(entry.shape, dtype=stored)
        read_pieces(entry.form, tensor, read_tensor)
        return _transformed(tensor, entry)
    if isinstance(entry.form, Derived):
        return _transformed(derived(entry, entry.form, stored, read_tensor), entry)
    _record(entry)
    tensor = torch.empty(entry.shape, dtype=stored)
    if _is_packed(entry):
        at = 0
        for piece in _unpacked(entry, 1 << 20):
            tensor.view(-1)[at : at + piece.numel()] = piece
            at += piece.numel()
    elif entry.is_contiguous:
        _fill(entry, entry.storage_offset, tensor)
    else:
        view = _strided(entry, entry.storage_offset, entry.shape, entry.stride)
        tensor.view(view.dtype).copy_(view)
    return _transformed(tensor, entry)


def read_tensor_into(entry: TensorEntry, tensor: torch.Tensor) -> None:
    """Read into a tensor of the same shape; the values are converted to its dtype.

    The bytes go straight into a contiguous CPU tensor of the stored dtype. Other dtypes are
    converted CONVERT_BYTES at a time, and strided views as a whole. Raises as read_tensor does, and
    CheckpointError for a sparse or nested tensor, and for a quantized one where `tensor` is a
    floating-point one.
    """
    _refuse_shapeless(entry)
    if isinstance(entry.form, Quantized) and (tensor.is_floating_point() or tensor.is_complex()):
        raise CheckpointError(
            f"The tensor {entry.key} is quantized, and a float model cannot take its integers.",
            "Load it into the quantized model, or save the checkpoint again after calling "
            ".dequantize() on it.",
        )
    straight = tensor.is_contiguous() and not entry.transforms and tensor.device.type == "cpu"
    same = straight and tensor.dtype == torch_dtype(entry.dtype)
    if entry.numel == 0:
        return
    with torch.no_grad():
        if same and entry.form is None and entry.is_contiguous:
            _fill(entry, entry.storage_offset, tensor)
        elif straight and isinstance(entry.form, Derived) and entry.form.operation == Joined():
            for part, place in joined_parts(entry.form, tensor):
                read_tensor_into(part, place)
        elif tensor.is_contiguous() and entry.is_contiguous:
            _copy_in_chunks(entry, tensor.view(-1))
        else:
            tensor.copy_(read_tensor(entry))


def read_tensors_into(targets: Iterable[tuple[TensorEntry, torch.Tensor]]) -> None:
    """Call read_tensor_into for each (entry, tensor), in this order.

    Tensors that follow one another closely in a file are read in one call, which takes a tenth of
    the time for small ones. Raises as read_tensor_into does.
    """
    adjacent: _AdjacentTensors | None = None
    for entry, tensor in targets:
        place = _place(entry, tensor)
        if adjacent is not None and (place is None or not adjacent.takes(*place)):
            adjacent.read()
            adjacent = None
        if place is None:
            read_tensor_into(entry, tensor)
            continue
        if adjacent is None:
            adjacent = _AdjacentTensors(*place)
        adjacent.add(place[1], tensor)
    if adjacent is not None:
        adjacent.read()


def _place(entry: TensorEntry, tensor: torch.Tensor) -> tuple[LocalFile, int] | None:
    """The file and the offset of the bytes that can be copied into the tensor's memory unchanged;
    None where they must be converted."""
    record = entry.record
    if (
        record is None
        or not tensor.nbytes
        or not lies_in_order(entry, unchanged=True)
        or not tensor.is_contiguous()
        or tensor.dtype != torch_dtype(entry.dtype)
        or tensor.device.type != "cpu"
    ):
        return None
    start = record.offset + entry.storage_offset * ITEMSIZES[entry.stored_dtype]
    return file_of(record.source, start)


class _AdjacentTensors:
    """Tensors that follow one another in a file and are read in one call."""

    def __init__(self, file: LocalFile, start: int) -> None:
        self._file = file
        self._start = self._end = start
        self._memory: list[memoryview] = []

    def takes(self, file: LocalFile, start: int) -> bool:
        """Whether a tensor that starts there can join these."""
        return file is self._file and 0 <= start - self._end <= GAP_BYTES

    def add(self, start: int, tensor: torch.Tensor) -> None:
        """Append a tensor whose bytes start there; the bytes before it in the gap are discarded."""
        if start > self._end:
            self._memory.append(memoryview(bytearray(start - self._end)))
        memory = _memory(tensor)
        self._memory.append(memory)
        self._end = start + len(memory)

    def read(self) -> None:
        """Fill all tensors. Raises SourceError."""
        self._file.scatter(self._start, self._memory)


def _copy_in_chunks(entry: TensorEntry, flat: torch.Tensor) -> None:
    start = 0
    for chunk in chunks(entry, CONVERT_BYTES):
        flat[start : start + chunk.numel()].copy_(chunk)
        start += chunk.numel()


def chunks(entry: TensorEntry, max_bytes: int = 16 << 20) -> Iterator[torch.Tensor]:
    """The elements in logical (C) order as 1-D tensors of at most `max_bytes` stored bytes.

    A tensor that a fix derives from others is computed as a whole first, unless it is its parts one
    after another, or one number everywhere. A chunk is valid until the next one is requested.
    Raises as read_tensor does, and CheckpointError for a sparse or nested tensor, whose elements
    have no such order.
    """
    _refuse_shapeless(entry)
    if entry.numel == 0:
        return
    stored = torch_dtype(entry.stored_dtype)
    most = max(1, max_bytes // ITEMSIZES[entry.stored_dtype])
    if isinstance(entry.form, Pieces):
        pieces = piece_chunks(entry, entry.form, stored, most, read_tensor)
    elif isinstance(entry.form, Derived):
        pieces = _derived_chunks(entry, entry.form, stored, max_bytes)
    else:
        _record(entry)
        if _is_packed(entry):
            pieces = _unpacked(entry, most)
        elif entry.is_contiguous:
            pieces = _contiguous_chunks(entry, stored, most)
        else:
            pieces = (piece.view(stored) for piece in _blocks(entry, most))
    for piece in pieces:
        yield _transformed(piece, entry)


def _derived_chunks(
    entry: TensorEntry, form: Derived, dtype: torch.dtype, max_bytes: int
) -> Iterator[torch.Tensor]:
    most = max(1, max_bytes // dtype.itemsize)
    match form.operation:
        case Joined():
            for part in form.parts:
                yield from chunks(part, max_bytes)
        case Filled(value):
            yield from filled_chunks(entry, value, dtype, most)
        case _:
            flat = derived(entry, form, dtype, read_tensor).view(-1)
            for start in range(0, entry.numel, most):
                yield flat[start : start + most]


def _transformed(tensor: torch.Tensor, entry: TensorEntry) -> torch.Tensor:
    for transform in entry.transforms:
        match transform:
            case Cast():
                tensor = tensor.to(torch_dtype(transform.dtype))
            case Resolve(_, conjugate, negative):
                if conjugate:
                    tensor = tensor.conj_physical()
                if negative:
                    tensor = tensor.neg()
    return tensor


def _refuse_shapeless(entry: TensorEntry) -> None:
    if isinstance(entry.form, Sparse):
        raise CheckpointError(
            f"The tensor {entry.key} is sparse ({entry.form.layout}): the file does not contain "
            "most of its elements.",
            "Save the checkpoint again after calling .to_dense() on it.",
        )
    if isinstance(entry.form, Nested):
        raise CheckpointError(
            f"The tensor {entry.key} is nested: its rows have different shapes.",
            "Save its rows as separate tensors (.unbind()), or as one (.to_padded_tensor(0)).",
        )


def _sparse(entry: TensorEntry, form: Sparse) -> torch.Tensor:
    """The sparse tensor after a check of its indices; it is never made dense."""
    parts = [read_tensor(part) for part in form.parts]
    try:
        if form.layout == "sparse_coo":
            indices, values = parts
            return torch.sparse_coo_tensor(
                indices,
                values,
                entry.shape,
                is_coalesced=form.is_coalesced,
                check_invariants=True,
            )
        compressed, plain, values = parts
        layout: torch.layout = getattr(torch, form.layout)
        return torch.sparse_compressed_tensor(
            compressed, plain, values, entry.shape, layout=layout, check_invariants=True
        )
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise _unsound(entry, "indices") from error


def _nested(entry: TensorEntry, form: Nested) -> torch.Tensor:
    sizes, strides, offsets = (
        read_tensor(part) for part in (form.sizes, form.strides, form.offsets)
    )
    buffer = read_tensor(replace(entry, form=None, transforms=()))
    rows: list[torch.Tensor] = []
    left = buffer.numel()
    try:
        for size, stride, offset in zip(
            sizes.tolist(), strides.tolist(), offsets.tolist(), strict=True
        ):
            # Rows that overlap could expand a hostile file to far more than it contains.
            left -= prod(size)
            if left < 0 or min((*size, *stride, offset), default=0) < 0:
                raise _unsound(entry, "rows")
            rows.append(buffer.as_strided(size, stride, offset))
        return torch.nested.nested_tensor(rows, dtype=buffer.dtype)
    except (RuntimeError, ValueError, TypeError) as error:
        raise _unsound(entry, "rows") from error


def _unsound(entry: TensorEntry, what: str) -> CheckpointError:
    return CheckpointError(
        f"The {what} of the tensor {entry.key} are out of bounds, or contradict one another.",
        "The file is damaged or malicious: get it again from a source you trust.",
    )


def _is_packed(entry: TensorEntry) -> bool:
    return entry.stored_dtype in PACKED and isinstance(entry.form, Quantized)


def _unpacked(entry: TensorEntry, most: int) -> Iterator[torch.Tensor]:
    """Integers smaller than a byte, unpacked to one byte each; 1-D uint8 tensors in C order."""
    per_byte = PACKED[entry.stored_dtype]
    bits = 8 // per_byte
    packed = torch.empty(max(1, most // per_byte), dtype=torch.uint8)
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8)
    for start in range(0, entry.numel, packed.numel() * per_byte):
        numel = min(packed.numel() * per_byte, entry.numel - start)
        piece = packed[: -(-numel // per_byte)]
        _fill(entry, start // per_byte, piece)
        yield ((piece[:, None] >> shifts) & ((1 << bits) - 1)).reshape(-1)[:numel]


def _contiguous_chunks(entry: TensorEntry, dtype: torch.dtype, most: int) -> Iterator[torch.Tensor]:
    buffer = torch.empty(min(most, entry.numel), dtype=dtype)
    for start in range(0, entry.numel, most):
        piece = buffer[: min(most, entry.numel - start)]
        _fill(entry, entry.storage_offset + start, piece)
        yield piece


def _blocks(entry: TensorEntry, most: int) -> Iterator[torch.Tensor]:
    """A strided view's elements in C order, split along the leading dimensions until each part is
    small enough. The dtype is the one in _AS_WIDE for their size."""

    def part(
        shape: tuple[int, ...], stride: tuple[int, ...], offset: int
    ) -> Iterator[torch.Tensor]:
        numel = 1
        for length in shape:
            numel *= length
        # The bytes between the elements are read too, which is faster than a read for each element;
        # up to four times as many are read, by judgement.
        if (numel <= most and _span(shape, stride) <= 4 * most) or not shape:
            yield _strided(entry, offset, shape, stride).reshape(-1)
            return
        inner = numel // shape[0]
        step = max(1, most // inner) if inner <= most else 1
        if len(shape) == 1 or step > 1:
            step = min(step, max(1, 4 * most // max(1, stride[0])))
            for start in range(0, shape[0], step):
                rows = min(step, shape[0] - start)
                yield _strided(
                    entry, offset + start * stride[0], (rows, *shape[1:]), stride
                ).reshape(-1)
            return
        for index in range(shape[0]):
            yield from part(shape[1:], stride[1:], offset + index * stride[0])

    yield from part(entry.shape, entry.stride, entry.storage_offset)


_AS_WIDE = {
    1: torch.uint8,
    2: torch.int16,
    4: torch.int32,
    8: torch.int64,
    16: torch.complex128,
}
"""Bytes per element → a dtype that torch can copy, which it cannot do for every dtype."""


def _strided(
    entry: TensorEntry, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]
) -> torch.Tensor:
    """A strided view into the bytes that it spans, read in one run; dtype as in _AS_WIDE."""
    span = torch.empty(_span(shape, stride), dtype=_AS_WIDE[ITEMSIZES[entry.stored_dtype]])
    _fill(entry, offset, span)
    return span.as_strided(shape, stride)


def _span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    return 1 + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))


def _record(entry: TensorEntry) -> Record:
    if entry.record is None:
        raise CheckpointError(
            f"The tensor {entry.key} is on the meta device and has no data.",
            "Save the checkpoint again from a model whose weights are on a CPU or a GPU.",
        )
    return entry.record


def _fill(entry: TensorEntry, offset: int, tensor: torch.Tensor) -> None:
    """Fill a contiguous CPU tensor from the record, starting at the element `offset`."""
    record = _record(entry)
    memory = _memory(tensor)
    if not memory:
        return
    start = record.offset + offset * ITEMSIZES[entry.stored_dtype]
    record.source.read_into(start, memory)
    if record.big_endian:
        _swap(tensor, entry.stored_dtype)


def _memory(tensor: torch.Tensor) -> memoryview:
    """The memory of a contiguous CPU tensor, writable."""
    nbytes = tensor.nbytes
    if not nbytes:
        return memoryview(bytearray())
    # Not tensor.numpy(): numpy has no bfloat16, float8 or complex32.
    kind = _SMALL if nbytes <= SMALL_BYTES else ctypes.c_char * nbytes
    return memoryview(kind.from_address(tensor.data_ptr())).cast("B")[:nbytes]


def _swap(tensor: torch.Tensor, dtype: str) -> None:
    """Swap the byte order of each number in place; of a complex one, of its two parts."""
    width = ITEMSIZES[dtype] // (2 if "complex" in dtype else 1)
    if width == 1:
        return
    numbers = tensor.view(-1).view(torch.uint8).view(-1, width)
    for start in range(0, len(numbers), SWAP_BYTES // width):
        rows = numbers[start : start + SWAP_BYTES // width]
        rows.copy_(rows.flip(1))
