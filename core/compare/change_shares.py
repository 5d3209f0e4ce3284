"""Each tensor's share of the whole change from A to B, which says where a training went."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.compare.comparison import Row, State
from core.compare.depth import kinds_of
from core.compare.overall_numbers import stands_for_floats
from core.compare.tensor_numbers import Numbers
from core.keys import ModuleKind

SAME = (State.SAME, State.RENAMED)
"""The states of rows whose tensors are equal."""


@dataclass(frozen=True, slots=True)
class ChangeShares:
    """The weights' shares of the whole change, the sum over all of ‖B − A‖².

    `shares` is row key → share, from 0 to 1. They sum to 1, or are all 0 where nothing changed.
    `outside` is row key → why the row has no share, in a few words. `statistics` are the keys of
    BatchNorm's statistics. These have no share: a variance may move further than all weights
    together, though no step of the optimizer moved it.
    """

    shares: Mapping[str, float]
    outside: Mapping[str, str]
    statistics: frozenset[str]

    @property
    def is_whole(self) -> bool:
        """Whether every tensor with a counterpart has a share, but statistics and integers."""
        return not any(reason in UNKNOWN for reason in self.outside.values())

    def ordered(self, rows: Iterable[Row]) -> list[Row]:
        """The rows by share, the largest first, then those without a share, then the rows that are
        the same, and BatchNorm's statistics last; rows with equal shares stay in their order."""
        return sorted(rows, key=self._place)

    def _place(self, row: Row) -> tuple[int, float]:
        if row.key in self.statistics:
            return 3, 0.0
        if row.state in SAME:
            return 2, 0.0
        share = self.shares.get(row.key)
        return (1, 0.0) if share is None else (0, -share)


NOT_MEASURED = "not measured"
NOT_FINITE = "NaN or Inf"
TOO_LARGE = "too large for float64"
RESHAPED = "the shapes differ"
STATISTIC = "BatchNorm statistic"
NO_FLOATS = "no floating-point numbers"
"""Why a row that is in A and in B has no share. A row of one side has its state as the reason."""

UNKNOWN = frozenset((NOT_MEASURED, NOT_FINITE, TOO_LARGE, RESHAPED))
"""Those of weights whose change counts, but is not known."""


def change_shares(rows: Sequence[Row], numbers: Mapping[str, Numbers]) -> ChangeShares:
    """The shares of all rows of a comparison; `numbers` are by row key.

    A share is that of a floating-point or quantized tensor, of which every element is finite on
    both sides. Rows that are the same have the share 0.
    """
    statistics = frozenset(
        key for key, kind in kinds_of(rows).items() if kind is ModuleKind.STATISTICS
    )
    outside: dict[str, str] = {}
    moved: dict[str, float] = {}
    for row in rows:
        measured = numbers.get(row.key)
        if reason := _outside(row, measured, statistics):
            outside[row.key] = reason
        else:
            moved[row.key] = 0.0 if measured is None else measured.norm_difference
    return ChangeShares(_shares(moved), outside, statistics)


def _shares(moved: Mapping[str, float]) -> dict[str, float]:
    """The shares of norms in their sum of squares: 0 and 1 only where they are exactly that."""
    largest = max(moved.values(), default=0.0)
    if not largest:
        return dict.fromkeys(moved, 0.0)
    # Over the largest, so that no square overflows.
    squares = {key: (norm / largest) ** 2 for key, norm in moved.items()}
    whole = math.fsum(squares.values())
    most = 1.0 if sum(map(bool, moved.values())) == 1 else math.nextafter(1.0, 0.0)
    return {
        key: min(max(square / whole, math.ulp(0.0)), most) if moved[key] else 0.0
        for key, square in squares.items()
    }


def _outside(row: Row, measured: Numbers | None, statistics: frozenset[str]) -> str:
    """Why a row has no share; empty where it has one."""
    if row.a is None or row.b is None:
        return str(row.state)
    if row.key in statistics:
        return STATISTIC
    if not (stands_for_floats(row.a) and stands_for_floats(row.b)):
        return NO_FLOATS
    if row.a.shape != row.b.shape:
        return RESHAPED
    if row.state in SAME:
        return ""
    if measured is None:
        return NOT_MEASURED
    if measured.nan_a or measured.nan_b or measured.inf_a or measured.inf_b:
        return NOT_FINITE
    return "" if math.isfinite(measured.norm_difference) else TOO_LARGE
