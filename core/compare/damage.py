"""Damage that was found when tensors were measured, told by the rows of their comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.compare.comparison import Comparison
from core.compare.tensor_numbers import Numbers


def with_damage(comparison: Comparison, numbers: Mapping[str, Numbers]) -> Comparison:
    """The comparison, its rows with the damage in their `numbers`, which are by row key."""
    rows = tuple(
        row.with_damage(numbers[row.key].damaged) if row.key in numbers else row
        for row in comparison.rows
    )
    return comparison if rows == comparison.rows else replace(comparison, rows=rows)
