"""The elements of a tensor as float64, block by block: read by numpy, or by torch where it must be.

The two readers give the same blocks. Importing torch takes two seconds of CPU time, far longer than
all sums over small tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.checkpoint import ITEMSIZES, NUMPY_CODES, TensorEntry, lies_in_order

Floats = NDArray[np.float64]

BLOCK = 3 << 13
"""Elements per block: three float64 blocks fit in a core's cache, which makes the work fast."""

MAX_SPAN = 16 << 20
"""Bytes that numpy reads at once where elements are not adjacent; torch reads larger ones in
parts."""

NUMPY: Mapping[str, str] = {
    **NUMPY_CODES,
    "complex128": "<f8",
    "complex64": "<f4",
    "complex32": "<f2",
}
"""Dtypes that numpy knows → its code for them; of complex ones, for each of the two parts."""

FLOAT8: Mapping[str, tuple[int, int]] = {
    "float8_e4m3fn": (3, 7),
    "float8_e5m2": (2, 15),
    "float8_e4m3fnuz": (3, 8),
    "float8_e5m2fnuz": (2, 16),
}
"""Dtype → bits of its mantissa, and the bias of its exponent (arXiv 2209.05433; `fnuz`: arXiv
2206.02915)."""

READ_BY_NUMPY = frozenset((*NUMPY, *FLOAT8, "float8_e8m0fnu", "bfloat16", "bool"))
"""Dtypes whose elements numpy can turn into numbers."""


@dataclass(frozen=True, slots=True)
class FloatBlock:
    """Consecutive elements of a tensor, in C order.

    `values` are `numel` numbers, exact except for integers beyond 2^53; of complex elements twice
    as many, real part and imaginary part in turn. `exact` are 64-bit integers as int64, with the
    same order and the same differences (uint64 is shifted by -2^63); None for other dtypes.
    """

    numel: int
    values: Floats
    exact: NDArray[np.int64] | None = None
    dtype: str = ""


def float_blocks(entry: TensorEntry, size: int = BLOCK) -> Iterator[FloatBlock]:
    """The elements in blocks of `size`, the last one with the rest; valid until the next one.

    Of a quantized tensor they are the numbers that its integers stand for. Raises SourceError,
    CheckpointError for a tensor without bytes or with damaged scales, and LoupeError for a dtype
    that is no number.
    """
    if is_read_by_numpy(entry):
        return _by_numpy(entry, size)
    from core.streaming.torch_blocks import torch_blocks  # it imports torch

    return torch_blocks(entry, size)


def block_pairs(a: TensorEntry, b: TensorEntry) -> Iterator[tuple[FloatBlock, FloatBlock]]:
    """The blocks of two tensors of one shape, both complex where one is."""
    for x, y in zip(float_blocks(a), float_blocks(b), strict=True):
        yield (x, y) if x.values.size == y.values.size else (_as_complex(x), _as_complex(y))


def is_read_by_numpy(entry: TensorEntry) -> bool:
    """Whether numpy can read the tensor: its elements are plain numbers, and lie close together."""
    if entry.form is not None or entry.transforms or entry.record is None:
        return False
    if entry.dtype not in READ_BY_NUMPY:
        return False
    return lies_in_order(entry) or _span(entry) * ITEMSIZES[entry.dtype] <= MAX_SPAN


def is_contiguous_record(entry: TensorEntry) -> bool:
    """Whether a part of the elements is a part of the record's bytes (see `slice_of`)."""
    return entry.form is None and lies_in_order(entry)


def slice_of(entry: TensorEntry, start: int, stop: int) -> TensorEntry:
    """Elements `start` to `stop` of a contiguous tensor, as a 1-D tensor."""
    offset = entry.storage_offset + start
    return replace(entry, shape=(stop - start,), stride=(1,), storage_offset=offset)


@np.errstate(invalid="ignore")  # a NaN may become another NaN
def numbers_of(raw: NDArray[np.uint8], dtype: str, *, big_endian: bool = False) -> FloatBlock:
    """The numbers that the bytes of some elements stand for; the dtype is in READ_BY_NUMPY."""
    numel = raw.size // ITEMSIZES[dtype]
    width = ITEMSIZES[dtype] // (2 if dtype.startswith("complex") else 1)
    if big_endian and width > 1:
        raw = np.ascontiguousarray(raw.reshape(-1, width)[:, ::-1]).reshape(-1)
    if dtype in NUMPY:
        stored: NDArray[Any] = raw.view(NUMPY[dtype])
        return FloatBlock(numel, stored.astype(np.float64), _exact(stored), dtype)
    if dtype == "bfloat16":  # the upper half of a float32
        wide = raw.view("<u2").astype(np.uint32) << np.uint32(16)
        return FloatBlock(numel, wide.view(np.float32).astype(np.float64))
    if dtype == "bool":
        return FloatBlock(numel, (raw != 0).astype(np.float64))
    return FloatBlock(numel, _float8_table(dtype)[raw])


def _exact(stored: NDArray[Any]) -> NDArray[np.int64] | None:
    if stored.dtype == np.int64:
        return stored
    if stored.dtype == np.uint64:
        shifted: NDArray[np.int64] = (stored ^ np.uint64(1 << 63)).view(np.int64)
        return shifted
    return None


def _as_complex(block: FloatBlock) -> FloatBlock:
    if block.values.size > block.numel:
        return block
    values = np.zeros(2 * block.numel)
    values[::2] = block.values
    return FloatBlock(block.numel, values)


def _by_numpy(entry: TensorEntry, size: int) -> Iterator[FloatBlock]:
    record = entry.record
    assert record is not None
    itemsize = ITEMSIZES[entry.dtype]
    start = record.offset + entry.storage_offset * itemsize
    if not entry.numel:
        return
    if lies_in_order(entry):
        buffer = np.empty(min(size, entry.numel) * itemsize, np.uint8)
        for at in range(0, entry.numel, size):
            piece = buffer[: min(size, entry.numel - at) * itemsize]
            record.source.read_into(start + at * itemsize, piece.data)
            yield numbers_of(piece, entry.dtype, big_endian=record.big_endian)
        return
    span = np.empty((_span(entry), itemsize), np.uint8)
    record.source.read_into(start, span.reshape(-1).data)
    strides = tuple(stride * itemsize for stride in entry.stride)
    viewed = np.lib.stride_tricks.as_strided(span, (*entry.shape, itemsize), (*strides, 1))
    elements = np.ascontiguousarray(viewed).reshape(-1)
    for at in range(0, elements.size, size * itemsize):
        piece = elements[at : at + size * itemsize]
        yield numbers_of(piece, entry.dtype, big_endian=record.big_endian)


def _span(entry: TensorEntry) -> int:
    """The elements from the first to the last one in the record."""
    steps = zip(entry.shape, entry.stride, strict=True)
    return 1 + sum((length - 1) * stride for length, stride in steps)


@cache
def _float8_table(dtype: str) -> Floats:
    """float64 [256]: the number that each value of a byte stands for."""
    codes = np.arange(256)
    if dtype == "float8_e8m0fnu":  # an exponent alone (OCP Microscaling Formats, 5.4)
        table: Floats = np.where(codes == 255, np.nan, np.ldexp(1.0, codes - 127))
        return table
    mantissa_bits, bias = FLOAT8[dtype]
    exponents = (codes & 0x7F) >> mantissa_bits
    mantissas = codes & ((1 << mantissa_bits) - 1)
    normal = exponents > 0
    significands = np.where(normal, mantissas + (1 << mantissa_bits), mantissas)
    table = np.ldexp(significands, np.maximum(exponents, 1) - bias - mantissa_bits)
    if dtype == "float8_e5m2":
        table[exponents == 31] = np.where(mantissas[exponents == 31], np.nan, np.inf)
    elif dtype == "float8_e4m3fn":
        table[codes & 0x7F == 0x7F] = np.nan
    table = np.where(codes & 0x80, -table, table)
    if dtype.endswith("fnuz"):
        table[0x80] = np.nan
    return table
