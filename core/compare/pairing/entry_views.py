"""Views of a tensor: transposed, some of its rows, in another dtype. No byte is read here."""

from __future__ import annotations

from dataclasses import replace

from core.checkpoint import STRIDED, Cast, TensorEntry, arrangement


def cast(entry: TensorEntry, dtype: str) -> TensorEntry:
    """The tensor in another dtype; torch converts it when it is read."""
    return replace(entry, dtype=dtype, transforms=(*entry.transforms, Cast(entry.dtype, dtype)))


def castable(entry: TensorEntry) -> bool:
    """Whether a cast of the tensor makes sense: it is dense, has bytes, and is not a bool
    tensor."""
    return bool(entry.records) and arrangement(entry)[0] == STRIDED and entry.dtype != "bool"


def transposed(entry: TensorEntry) -> TensorEntry:
    """The transpose of a strided 2-D tensor."""
    return replace(entry, shape=entry.shape[::-1], stride=entry.stride[::-1])


def rows(entry: TensorEntry, start: int, stop: int) -> TensorEntry:
    """`tensor[start:stop]` of a strided tensor."""
    return replace(
        entry,
        shape=(stop - start, *entry.shape[1:]),
        storage_offset=entry.storage_offset + start * entry.stride[0],
    )
