"""When a tensor keeps more bytes in the file than it shows."""

from __future__ import annotations

from collections.abc import Sequence

from core.checkpoint.entries import TensorEntry
from core.checkpoint.layouts import parts_bytes
from core.sections import Section

LEAST_WASTE = 1 << 20
"""Bytes below which nobody minds."""


def stored_bytes(entry: TensorEntry) -> int:
    """Bytes that the file must keep for this tensor: its whole records, each once."""
    places = {
        (id(record.source), record.offset, record.name): record.nbytes for record in entry.records
    }
    return sum(places.values())


def storage_note(entry: TensorEntry) -> str | None:
    """Say that a small view keeps a large storage; None where it does not.

    torch.save writes a tensor's whole storage, whatever part of it the tensor shows; other tensors
    of the file may show other parts of it.
    """
    shown = parts_bytes(entry)
    kept = stored_bytes(entry)
    if kept - shown < max(LEAST_WASTE, shown):
        return None
    return (
        f"A view of {_megabytes(shown)} into a storage of {_megabytes(kept)}: the file keeps the "
        "whole storage. Unless other tensors share it, saving `tensor.clone()` makes the file "
        f"{_megabytes(kept - shown)} smaller."
    )


def storages_note(sections: Sequence[Section]) -> str | None:
    """Say that a file keeps a tenth more than all its tensors show; None where it does not."""
    shown = sum(section.nbytes for section in sections)
    kept = sum(section.stored for section in sections)
    if kept - shown < max(LEAST_WASTE, kept // 10):
        return None
    return (
        f"The tensors show {_megabytes(shown)} of the {_megabytes(kept)} that the file keeps for "
        "them: some are small views of large storages. An export from the Fit page holds what they "
        "show, and nothing else."
    )


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / 1e6:.1f} MB" if nbytes >= 100_000 else f"{nbytes / 1e3:.1f} kB"
