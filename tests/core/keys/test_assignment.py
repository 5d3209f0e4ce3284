"""The best assignment is SciPy's, also where it is found without SciPy."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from core.keys.assignment import best_assignment

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize(
    "scores",
    [
        np.eye(4)[[2, 0, 3, 1]] + DRAW.random((4, 4)) / 2,  # each row has a column of its own
        np.eye(3, 5) + DRAW.random((3, 5)) / 2,
        np.eye(5, 3) + DRAW.random((5, 3)) / 2,  # more rows than columns
        np.array([[3.0, 2.0], [4.0, 1.0]]),  # no row, but each column has a row of its own
        DRAW.random((6, 6)),  # rows that want the same column
        np.array([[3.0, 2.0], [3.0, 0.0]]),
        np.zeros((3, 3)),  # nothing but ties
        np.array([[1.0, 1.0], [0.0, 1.0]]),
        np.zeros((0, 3)),
    ],
)
def test_the_pairs_are_scipys(scores: NDArray[np.float64]) -> None:
    wanted = [tuple(pair) for pair in np.array(linear_sum_assignment(scores, maximize=True)).T]
    assert best_assignment(lambda start, stop: scores[start:stop], *scores.shape) == wanted
