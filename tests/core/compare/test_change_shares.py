"""A weight's share of the whole change is that of plain torch; what has none says why."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from core.checkpoint import open_checkpoint
from core.compare.change_shares import (
    NO_FLOATS,
    NOT_FINITE,
    NOT_MEASURED,
    RESHAPED,
    STATISTIC,
    ChangeShares,
    change_shares,
)
from core.compare.comparison import Comparison
from core.compare.measurability import measurable
from core.compare.numbers import differences
from core.compare.rows import compare
from core.wording import THIN, share_text

Tensors = dict[str, torch.Tensor]
Shared = Callable[[Tensors, Tensors], tuple[Comparison, ChangeShares]]


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    numbers = itertools.count()

    def saved(a: Tensors, b: Tensors) -> tuple[Comparison, ChangeShares]:
        paths = [tmp_path / f"{next(numbers)}.pth" for _ in range(2)]
        for path, tensors in zip(paths, (a, b), strict=True):
            torch.save(tensors, path)
        comparison = compare(*(open_checkpoint(path).state_dict() for path in paths))
        pairs = measurable(comparison)
        keys = list(pairs)
        measured = {keys[at]: one for at, one in differences(list(pairs.values()))}
        return comparison, change_shares(comparison.rows, measured)

    return saved


def network() -> Tensors:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)).state_dict()


def moved(tensors: Tensors) -> Tensors:
    return {
        key: value + 0.1 * torch.randn_like(value) if value.is_floating_point() else value + 836
        for key, value in tensors.items()
    }


def test_shares_are_those_of_plain_torch_and_sum_to_one(shared: Shared) -> None:
    a = network()
    b = moved(a)
    _, found = shared(a, b)
    weights = [key for key in a if "running" not in key and "num_" not in key]
    squares = {key: float((b[key].double() - a[key].double()).square().sum()) for key in weights}
    assert found.shares.keys() == squares.keys()
    for key, square in squares.items():
        assert found.shares[key] == pytest.approx(square / sum(squares.values()), rel=1e-6)
    assert math.fsum(found.shares.values()) == pytest.approx(1)
    assert found.is_whole


def test_counters_and_statistics_do_not_drown_the_weights(shared: Shared) -> None:
    a = network()
    b = moved(a)
    b["1.running_var"] = a["1.running_var"] + 1e6
    comparison, found = shared(a, b)
    assert found.statistics == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert {found.outside[key] for key in found.statistics} == {STATISTIC}
    order = [row.key for row in found.ordered(comparison.rows)]
    assert order[:6] == sorted(found.shares, key=lambda key: -found.shares[key])
    assert order[6:] == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]


def test_what_has_no_share_says_why(shared: Shared) -> None:
    a = network() | {
        "steps": torch.tensor([3, 4]),
        "nan": torch.randn(4),
        "inf": torch.randn(4),
        "wide": torch.randn(4, 2),
        "gone": torch.randn(9),
        "meta": torch.empty(3, device="meta"),
    }
    b = moved({key: value for key, value in a.items() if key != "meta"})
    b |= {"steps": torch.tensor([10**9, 4]), "meta": torch.randn(3), "new": torch.randn(7)}
    b["nan"][1], b["inf"][2] = torch.nan, -torch.inf
    b["wide"] = torch.randn(6, 2)
    del b["gone"]
    _, found = shared(a, b)
    assert {key: found.outside.get(key) for key in ("steps", "nan", "inf", "wide", "meta")} == {
        "steps": NO_FLOATS,
        "nan": NOT_FINITE,
        "inf": NOT_FINITE,
        "wide": RESHAPED,
        "meta": NOT_MEASURED,
    }
    assert (found.outside["gone"], found.outside["new"]) == ("only in A", "only in B")
    assert math.fsum(found.shares.values()) == pytest.approx(1)
    assert not found.is_whole


def test_no_change_is_no_share_and_no_division_by_zero(shared: Shared) -> None:
    a = network()
    comparison, found = shared(a, a)
    assert set(found.shares.values()) == {0.0}
    weights = [key for key in a if key not in found.statistics]
    assert [row.key for row in found.ordered(comparison.rows)][: len(weights)] == weights
    _, counted = shared(a, a | {"1.num_batches_tracked": torch.tensor(9)})
    assert set(counted.shares.values()) == {0.0}


def test_minus_zero_for_zero_is_no_change(shared: Shared) -> None:
    _, found = shared({"w": torch.zeros(4)}, {"w": -torch.zeros(4)})
    assert found.shares == {"w": 0.0}


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1.0, 1e300])
def test_shares_neither_overflow_nor_vanish(shared: Shared, factor: float) -> None:
    step = torch.tensor([3.0, 4.0], dtype=torch.float64) * factor
    zeros = {key: torch.zeros(2, dtype=torch.float64) for key in "ab"}
    _, found = shared(zeros, {"a": step, "b": 7 * step})
    assert found.shares == {"a": pytest.approx(0.02), "b": pytest.approx(0.98)}


def test_a_share_is_shown_as_none_or_all_only_where_it_is(shared: Shared) -> None:
    a = {"w": torch.zeros(2, dtype=torch.float64), "v": torch.zeros(2, dtype=torch.float64)}
    _, found = shared(a, {"w": a["w"] + 1e-200, "v": a["v"] + 1e30})
    assert share_text(found.shares["w"]) == f"<{THIN}0.01{THIN}%"
    assert share_text(found.shares["v"]) == f">{THIN}99.9{THIN}%"
    _, alone = shared(a, a | {"v": a["v"] + 1})
    assert {key: share_text(share) for key, share in alone.shares.items()} == {
        "w": f"0{THIN}%",
        "v": f"100{THIN}%",
    }


def test_a_weight_is_no_statistic_because_of_its_name(shared: Shared) -> None:
    """Statistics are two vectors of one length in a module, and a counter of one integer."""
    a = {"mean.running_mean": torch.randn(4, 4), "x.running_var": torch.randn(3)}
    _, found = shared(a, moved(a))
    assert not found.statistics
    assert set(found.shares) == set(a)


def test_statistics_from_tensorflow_are_told_by_pair_and_shape(shared: Shared) -> None:
    a = {"bn.gamma": torch.randn(4), "bn.moving_mean": torch.randn(4)}
    a["bn.moving_variance"] = torch.rand(4)
    _, found = shared(a, moved(a))
    assert found.statistics == {"bn.moving_mean", "bn.moving_variance"}
    assert set(found.shares) == {"bn.gamma"}


def test_a_cast_tensor_has_the_share_of_its_rounding(shared: Shared) -> None:
    a = {"w": torch.randn(50), "v": torch.randn(50)}
    _, found = shared(a, {"w": a["w"].half(), "v": a["v"].bfloat16()})
    assert 0 < found.shares["w"] < found.shares["v"] < 1
