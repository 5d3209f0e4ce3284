"""A tensor seen another way: transposed, a part of it, in another dtype. No byte is read here."""

from __future__ import annotations

from dataclasses import replace

from core.checkpoint import STRIDED, Cast, TensorEntry, arrangement


def cast(entry: TensorEntry, dtype: str) -> TensorEntry:
    """The tensor in another dtype, converted as torch converts when it is read."""
    return replace(entry, dtype=dtype, transforms=(*entry.transforms, Cast(entry.dtype, dtype)))


def castable(entry: TensorEntry) -> bool:
    """Whether a cast of it means something: it is dense, with bytes, and its elements are numbers
    that torch converts."""
    return bool(entry.records) and arrangement(entry)[0] == STRIDED and entry.dtype != "bool"


def transposed(entry: TensorEntry) -> TensorEntry:
    """The transpose of a strided tensor of two dimensions."""
    return replace(entry, shape=entry.shape[::-1], stride=entry.stride[::-1])


def rows(entry: TensorEntry, start: int, stop: int) -> TensorEntry:
    """The slices from `start` to `stop` of a strided tensor's first dimension."""
    return replace(
        entry,
        shape=(stop - start, *entry.shape[1:]),
        storage_offset=entry.storage_offset + start * entry.stride[0],
    )
