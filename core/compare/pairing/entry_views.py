"""Views of a tensor: transposed, or some of its rows. No byte is read here."""

from __future__ import annotations

from dataclasses import replace

from core.checkpoint import TensorEntry


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
