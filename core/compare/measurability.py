"""The rows of a comparison that have numbers to take."""

from __future__ import annotations

from collections.abc import Mapping

from core.checkpoint import NUMBERLESS, Nested, Sparse, TensorEntry
from core.compare.comparison import Comparison, State

BY_ITSELF = 512 << 20
"""Bytes of both files up to which numbers are taken without being asked for: a second or so."""


def comparable(a: TensorEntry | None, b: TensorEntry | None) -> bool:
    """Whether the two have numbers: both are there with bytes, their shapes are equal, and each
    element of one has its element of the other, as in a sparse or a nested tensor it has not."""
    if a is None or b is None or a.shape != b.shape:
        return False
    return all(
        entry.records
        and entry.dtype not in NUMBERLESS
        and not isinstance(entry.form, Sparse | Nested)
        for entry in (a, b)
    )


def measurable(comparison: Comparison) -> Mapping[str, tuple[TensorEntry, TensorEntry]]:
    """By row key, the pairs that differ and whose elements go together one by one."""
    return {
        row.key: (row.a, row.b)
        for row in comparison.rows
        if row.state not in (State.SAME, State.RENAMED)
        and row.a is not None
        and row.b is not None
        and comparable(row.a, row.b)
    }


def bytes_to_measure(comparison: Comparison) -> int:
    """The bytes of both files that the numbers of all that differs are read from."""
    return sum(a.nbytes + b.nbytes for a, b in measurable(comparison).values())
