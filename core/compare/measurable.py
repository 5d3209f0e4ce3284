"""The rows of a comparison that have numbers to take."""

from __future__ import annotations

from collections.abc import Mapping

from core.checkpoint.entries import TensorEntry
from core.compare.measure import comparable
from core.compare.words import Comparison, State


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
