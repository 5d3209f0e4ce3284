"""The best assignment of rows to columns, by a matrix of scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]


LARGE = 1_500
"""Rows or columns beyond which the pairs are those that are each other's best, found strip by
strip: the time of the best assignment grows with the cube of their number."""


STRIP = 500
"""Rows in a strip."""


def best_assignment(
    scores: Callable[[int, int], Floats], rows: int, columns: int
) -> list[tuple[int, int]]:
    """The pairs (row, column) with the largest sum of scores.

    `scores(start, stop)` gives the rows from `start` to `stop` as a [rows, columns] array; a `stop`
    beyond the last row means the last row. Up to LARGE rows and columns the result is that of
    SciPy's `linear_sum_assignment`; beyond, it is the pairs that are each other's best.
    """
    import numpy as np

    if max(rows, columns) <= LARGE:
        every = scores(0, rows)
        obvious = _obvious(every)
        if obvious is not None:
            return obvious
        from scipy.optimize import linear_sum_assignment  # imported where needed: it takes 0.2 s

        chosen = linear_sum_assignment(every, maximize=True)
        return [(int(row), int(column)) for row, column in zip(*chosen, strict=True)]
    best_in_row = np.empty(rows, int)
    best_in_column = np.full(columns, -np.inf), np.zeros(columns, int)
    for start in range(0, rows, STRIP):
        strip = scores(start, start + STRIP)
        best_in_row[start : start + len(strip)] = strip.argmax(1)
        higher = strip.max(0) > best_in_column[0]
        best_in_column[0][higher] = strip.max(0)[higher]
        best_in_column[1][higher] = strip.argmax(0)[higher] + start
    return [
        (row, int(column))
        for row, column in enumerate(best_in_row)
        if best_in_column[1][column] == row
    ]


def _obvious(scores: Floats) -> list[tuple[int, int]] | None:
    """The best score of each row, or of each column, where these are in different columns or rows.

    No other assignment reaches their sum. None where neither holds, or two scores tie.
    """
    by_row = _best_of_rows(scores)
    if by_row is not None:
        return list(enumerate(by_row))
    by_column = _best_of_rows(scores.T)
    if by_column is not None:
        return sorted(zip(by_column, range(len(by_column)), strict=True))
    return None


def _best_of_rows(scores: Floats) -> list[int] | None:
    import numpy as np

    if not 0 < scores.shape[0] <= scores.shape[1]:
        return None
    best = scores.argmax(1)
    ties = (scores == scores.max(1)[:, None]).sum(1)
    if (ties != 1).any() or len(np.unique(best)) < len(best):
        return None
    columns: list[int] = best.tolist()
    return columns
