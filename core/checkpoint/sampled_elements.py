"""A few elements of a tensor, read from its file in a few small reads and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.checkpoint.entries import ITEMSIZES, PACKED, TensorEntry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUNS = 4
RUN = 32
"""RUNS runs of RUN elements are read of a tensor with more elements than that: the first ones, the
last ones, and others evenly spaced between them."""

SPAN = 64 << 10
"""Bytes that one read may span where elements are not adjacent; beyond, each is read on its own."""

NUMPY_CODES: Mapping[str, str] = {
    "float64": "<f8",
    "float32": "<f4",
    "float16": "<f2",
    **{f"int{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
}
"""Dtypes of real numbers that numpy has too, with its codes for their bytes in a file."""


def sampled_bytes(entry: TensorEntry) -> bytes | None:
    """The bytes of the sampled elements in logical (C) order, little-endian.

    Equal tensors give equal bytes with any strides. None for a tensor without elements or bytes,
    and for one that is not stored as plain strided elements. Raises SourceError.
    """
    record = entry.record
    if (
        record is None
        or entry.form is not None
        or entry.transforms
        or entry.dtype in PACKED
        or not entry.numel
    ):
        return None
    itemsize = ITEMSIZES[entry.dtype]
    pieces = []
    in_order = entry.is_contiguous
    for start, stop in _runs(entry.numel):
        if in_order:
            at = record.offset + (entry.storage_offset + start) * itemsize
            pieces.append(record.source.read(at, (stop - start) * itemsize))
            continue
        places = _places(entry, start, stop)
        first, last = min(places), max(places)
        if (last - first) * itemsize <= SPAN:
            at = record.offset + first * itemsize
            run = record.source.read(at, (last - first + 1) * itemsize)
            pieces += [
                run[(place - first) * itemsize : (place - first + 1) * itemsize] for place in places
            ]
        else:
            pieces += [
                record.source.read(record.offset + place * itemsize, itemsize) for place in places
            ]
    sample = b"".join(pieces)
    if record.big_endian and itemsize > 1 and not entry.dtype.startswith("complex"):
        return b"".join(sample[at : at + itemsize][::-1] for at in range(0, len(sample), itemsize))
    return sample


def sampled_numbers(entry: TensorEntry) -> NDArray[np.float64] | None:
    """The sampled elements as float64 [n]; None where there are none, or they are not real
    numbers."""
    import numpy as np

    is_half = entry.dtype == "bfloat16"  # the upper half of a float32
    code = "<u2" if is_half else NUMPY_CODES.get(entry.dtype)
    sample = sampled_bytes(entry) if code else None
    if sample is None:
        return None
    values = np.frombuffer(sample, code)
    if is_half:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float64)


def _runs(numel: int) -> list[tuple[int, int]]:
    if numel <= RUNS * RUN:
        return [(0, numel)]
    starts = (index * (numel - RUN) // (RUNS - 1) for index in range(RUNS))
    return [(start, start + RUN) for start in starts]


def _places(entry: TensorEntry, start: int, stop: int) -> list[int]:
    """The positions of elements `start` to `stop` in the record, counted in elements."""
    places = []
    for index in range(start, stop):
        place, rest = entry.storage_offset, index
        for length, stride in zip(reversed(entry.shape), reversed(entry.stride), strict=True):
            rest, at = divmod(rest, length)
            place += at * stride
        places.append(place)
    return places
