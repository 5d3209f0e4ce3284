"""Which tensors make up the change from A to B: the order of the rows on screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.compare.comparison import Row, State
from core.compare.overall_numbers import has_floats, is_statistic
from core.compare.tensor_numbers import Numbers

ORDER = (
    State.CHANGED,
    State.RESHAPED,
    State.RECAST,
    State.ONLY_A,
    State.ONLY_B,
    State.RENAMED,
    State.SAME,
)
"""The states from what a person looks for first to what they look for last."""


def change_shares(rows: Iterable[Row], numbers: Mapping[str, Numbers]) -> dict[str, float]:
    """Row key → the tensor's share of the whole change: its ‖B − A‖² over that of all weights.

    A relative change would put counters and biases near zero first. Rows without numbers have no
    share, nor have BatchNorm's statistics: one variance may be larger than all weights together.
    """
    squares = {
        row.key: numbers[row.key].norm_difference ** 2
        for row in rows
        if row.key in numbers and has_floats(row) and not is_statistic(row)
    }
    whole = sum(squares.values())
    return {key: square / whole for key, square in squares.items()} if whole else {}


def by_share_of_change(rows: Iterable[Row], shares: Mapping[str, float]) -> list[Row]:
    """The rows by state, and by their share in it; the rest in the order of the file.

    BatchNorm's statistics come last of all.
    """
    return sorted(
        rows,
        key=lambda row: (
            is_statistic(row),
            ORDER.index(row.state),
            -shares.get(row.key, -1.0),
        ),
    )


def statistics_from(rows: Sequence[Row]) -> int:
    """Where BatchNorm's statistics begin among rows in this order."""
    return sum(not is_statistic(row) for row in rows)
