"""The order of the rows on screen: by state, then by share of the whole change."""

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.comparison import Comparison
from core.compare.measurability import measurable
from core.compare.numbers.measure import differences
from core.compare.rows import compare
from core.compare.share_of_change import by_share_of_change, change_shares, statistics_from
from core.compare.tensor_numbers import Numbers


@pytest.fixture
def compared(tmp_path) -> tuple[Comparison, dict[str, Numbers]]:
    """Weights that moved by 3 and by 4, a counter and a variance that moved by more, and others."""
    a = {
        "same": torch.ones(4),
        "small.weight": torch.ones(1),
        "large.weight": torch.ones(1),
        "norm.running_var": torch.ones(1),
        "norm.num_batches_tracked": torch.tensor(7),
        "steps": torch.tensor(7),
        "other": torch.ones(2),
        "gone": torch.ones(5),
    }
    b = {
        **{key: value for key, value in a.items() if key != "gone"},
        "small.weight": torch.full((1,), 4.0),
        "large.weight": torch.full((1,), 5.0),
        "norm.running_var": torch.full((1,), 1000.0),
        "norm.num_batches_tracked": torch.tensor(9000),
        "steps": torch.tensor(9000),
        "other": torch.ones(3),
    }
    for name, weights in (("a", a), ("b", b)):
        torch.save(weights, tmp_path / f"{name}.pth")
    found = compare(*(open_checkpoint(tmp_path / f"{name}.pth").state_dict() for name in "ab"))
    pairs = measurable(found)
    keys = list(pairs)
    return found, {keys[at]: numbers for at, numbers in differences(list(pairs.values()))}


def test_shares_are_of_the_squares_of_all_weights(compared):
    comparison, numbers = compared
    shares = change_shares(comparison.rows, numbers)
    assert shares == pytest.approx({"small.weight": 9 / 25, "large.weight": 16 / 25})


def test_rows_come_by_state_and_share_and_statistics_last(compared):
    comparison, numbers = compared
    rows = by_share_of_change(comparison.rows, change_shares(comparison.rows, numbers))
    assert [row.key for row in rows] == [
        "large.weight",
        "small.weight",
        "steps",
        "other",
        "gone",
        "same",
        "norm.running_var",
        "norm.num_batches_tracked",
    ]
    assert statistics_from(rows) == 6


def test_without_numbers_the_files_order_is_kept(compared):
    rows = by_share_of_change(compared[0].rows, {})
    assert [row.key for row in rows][:3] == ["small.weight", "large.weight", "steps"]
    assert change_shares(compared[0].rows, {}) == {}
