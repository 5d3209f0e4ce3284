"""What of a comparison is read without a request, and which of its rows can be measured."""

from __future__ import annotations

from collections.abc import Mapping

from core.checkpoint import NUMBERLESS, Nested, Sparse, StateDict, TensorEntry
from core.compare.comparison import Comparison, State

BY_ITSELF = 512 << 20
"""Bytes of both files up to which rows are measured without a request: that takes about a
second."""


READ_BY_ITSELF = 64 << 20
"""Bytes of a state_dict up to which its tensors are read and compared where their checksums would
do: that takes some hundredths of a second."""


def is_read_by_itself(*state_dicts: StateDict) -> bool:
    """Whether the tensors of each state_dict are so few bytes that they are read without a request.

    Both are few: the elements of all keys, which are more than the file has where tensors share
    them, and the file's records, of which a view uses only a part.
    """
    return all(
        tensors.nbytes <= READ_BY_ITSELF and _record_bytes(tensors) <= READ_BY_ITSELF
        for tensors in state_dicts
    )


def _record_bytes(tensors: StateDict) -> int:
    records = (record for entry in tensors.values() for record in entry.records)
    return sum({record.place: record.nbytes for record in records}.values())


def comparable(a: TensorEntry | None, b: TensorEntry | None) -> bool:
    """Whether the two can be measured: both have bytes and numbers, and their shapes are equal.

    Sparse and nested tensors cannot: their stored elements do not correspond one to one.
    """
    if a is None or b is None or a.shape != b.shape:
        return False
    return all(
        entry.records
        and entry.dtype not in NUMBERLESS
        and not isinstance(entry.form, Sparse | Nested)
        for entry in (a, b)
    )


def measurable(comparison: Comparison) -> Mapping[str, tuple[TensorEntry, TensorEntry]]:
    """Row key → (tensor of A, tensor of B), for the rows that differ and can be measured."""
    return {
        row.key: (row.a, row.b)
        for row in comparison.rows
        if row.state not in (State.SAME, State.RENAMED)
        and row.a is not None
        and row.b is not None
        and comparable(row.a, row.b)
    }


def bytes_to_measure(comparison: Comparison) -> int:
    """The bytes of both files that must be read to measure all rows that differ."""
    return sum(a.nbytes + b.nbytes for a, b in measurable(comparison).values())
