"""Intervals and tests are those of the literature."""

import math

import pytest

from core.evaluate.evaluation import Portion
from core.evaluate.paired_answers import PairedAnswers


@pytest.mark.parametrize(("number", "total"), [(0, 10), (81, 263), (10, 10)])
def test_an_interval_is_wilsons(number: int, total: int) -> None:
    z, p = 1.959963984540054, number / total
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total**2))
    found = Portion(number, total)
    assert found.interval == pytest.approx((middle - half, middle + half), abs=1e-12)
    assert found.share == p


def test_newcombes_example_of_an_interval() -> None:
    """Newcombe, 1998: Two-sided confidence intervals for the single proportion, table I."""
    assert Portion(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("first", "second"), [(0, 5), (3, 11), (7, 7), (1, 0)])
def test_mcnemars_exact_test_counts_the_outcomes_as_unequal(first: int, second: int) -> None:
    total = first + second
    tail = sum(math.comb(total, k) for k in range(min(first, second) + 1)) / 2**total
    found = PairedAnswers(100, first, second, ()).p_value
    assert found == pytest.approx(min(1.0, 2 * tail), abs=1e-12)
