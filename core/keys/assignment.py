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
    from scipy.optimize import linear_sum_assignment

    if max(rows, columns) <= LARGE:
        chosen = linear_sum_assignment(scores(0, rows), maximize=True)
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
