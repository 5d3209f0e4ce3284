"""What is measured of a row: each side alone, and the pair where its elements correspond."""

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.one_pair import pair_values
from core.compare.rows import compare
from core.progress import Cancelled, Progress


@pytest.fixture
def row(tmp_path):
    """The one row of two files with a tensor each, under the same key where both have one."""

    def saved(a, b):
        sides = []
        for name, tensor in zip("ab", (a, b), strict=True):
            own = {} if tensor is None else {"w": tensor}
            torch.save({"shared": torch.ones(()), **own}, tmp_path / name)
            sides.append(open_checkpoint(tmp_path / name).state_dict())
        return next(row for row in compare(*sides).rows if row.key == "w")

    return saved


def test_each_side_is_measured_as_torch_does(row):
    torch.manual_seed(0)
    a, b = torch.randn(4, 5), torch.randn(4, 5)
    b[0, 0] = 0
    values = pair_values(row(a, b))
    for side, tensor in (("A", a), ("B", b)):
        found = values.statistics[side]
        assert found.mean == pytest.approx(float(tensor.mean()), abs=1e-6)
        assert found.std == pytest.approx(float(tensor.std()))
        assert (found.min, found.max) == (float(tensor.min()), float(tensor.max()))
        assert found.zeros == int((tensor == 0).sum())
    assert values.pair is not None


def test_sides_of_another_shape_are_measured_without_a_pair(row):
    values = pair_values(row(torch.ones(3), torch.full((2,), 2.0)))
    assert {side: found.mean for side, found in values.statistics.items()} == {"A": 1, "B": 2}
    assert values.pair is None


def test_one_side_alone_has_its_own_numbers(row):
    values = pair_values(row(None, torch.ones(3)))
    assert list(values.statistics) == ["B"]
    assert values.pair is None


def test_the_progress_of_all_readings_grows_to_its_end(row):
    seen = []
    pair_values(
        row(torch.ones(30), torch.zeros(30)), lambda done, total, _: seen.append((done, total))
    )
    done = [step for step, _ in seen]
    assert done == sorted(done)
    assert seen[-1][0] == seen[-1][1]


def test_reading_stops_when_it_is_cancelled(row):
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        pair_values(row(torch.ones(3), torch.zeros(3)), progress)
