"""The lines of change by depth say what was measured, and what was not."""

import pytest
import torch

from core.compare.depth import blocks
from core.compare.report.depth_chart import MOST_TICKS, depth_chart
from tests.core.compare.report.test_figures import compared


def network(layers: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state = {}
    for index in range(layers):
        state[f"layers.{index}.mlp.weight"] = torch.randn(6, 6)
        state[f"layers.{index}.norm.weight"] = torch.rand(6) + 0.5
    return state


def chart_of(folder, a, b):
    return depth_chart(blocks(*compared(folder, a, b)))


def test_weights_and_norms_are_two_lines_in_the_models_order(tmp_path):
    a = network()
    b = {
        key: value * (1 + 10.0 ** -int(key.split(".")[1])) if "mlp" in key else value * 1.5
        for key, value in a.items()
    }
    chart = chart_of(tmp_path, a, b)
    weights, norms = chart.lines
    assert chart.blocks == tuple(f"layers.{index}" for index in range(4))
    assert chart.labels == ("0", "1", "2", "3")
    assert (weights.title, norms.title) == ("linear", "norm")
    assert [point.change for point in weights.points] == pytest.approx([1, 0.1, 0.01, 0.001], 1e-4)
    assert [point.text for point in norms.points] == ["50\u202f%"] * 4
    assert chart.facts[0] == (
        *("norm: 50\u202f%; the one tensor differs", "linear: 100\u202f%; the one tensor differs"),
    )


def test_the_axis_has_room_for_every_change_and_names_few_powers(tmp_path):
    a = network(12)
    b = {key: value * (1 + 10.0 ** -(int(key.split(".")[1]) / 2)) for key, value in a.items()}
    chart = chart_of(tmp_path, a, b)
    changes = [point.change for line in chart.lines for point in line.points]
    assert 10**chart.low < min(changes) < max(changes) < 10**chart.high
    assert 2 <= len(chart.ticks) <= MOST_TICKS
    assert all(chart.low <= power <= chart.high for power, _ in chart.ticks)
    assert dict(chart.ticks)[int(chart.low)] == "0.0001\u202f%"


def test_the_first_the_largest_and_the_last_change_are_labelled(tmp_path):
    a = network(5)
    far = {0: 1.1, 1: 1.2, 2: 1.6, 3: 1.3, 4: 1.1}
    chart = chart_of(tmp_path, a, {k: v * far[int(k.split(".")[1])] for k, v in a.items()})
    assert chart.labelled == (2, 4, 0)
    alone = {"fc.weight": torch.ones(2, 2)}
    assert chart_of(tmp_path, alone, {"fc.weight": torch.full((2, 2), 1.1)}).labelled == (0,)


def test_a_small_change_is_written_with_its_digits(tmp_path):
    a = {"fc.weight": torch.ones(2, 2, dtype=torch.float64)}
    chart = chart_of(tmp_path, a, {"fc.weight": a["fc.weight"] * 1.000234})
    assert chart.lines[0].points[0].text == "0.0234\u202f%"


def test_what_is_the_same_is_no_change_and_has_no_place_on_the_axis(tmp_path):
    a = network()
    b = {key: value * 1.1 if key.startswith("layers.3") else value for key, value in a.items()}
    chart = chart_of(tmp_path, a, b)
    points = chart.lines[0].points
    assert [point.state for point in points] == ["same", "same", "same", "changed"]
    assert points[0].change is None
    assert chart.labelled == (3,)
    assert chart.facts[0] == (
        "norm: the one tensor is the same",
        "linear: the one tensor is the same",
    )


def test_what_was_not_measured_is_not_drawn_as_no_change(tmp_path):
    a = network()
    b = {key: value * 1.1 for key, value in a.items()} | {"layers.1.mlp.weight": torch.ones(5, 6)}
    chart = chart_of(tmp_path, a, b)
    assert [point.state for point in chart.lines[0].points] == [
        *("changed", "not measured", "changed", "changed")
    ]
    assert "linear: the one tensor differs; not measured: 1 reshaped" in chart.facts[1]


def test_a_change_from_zero_has_a_state_of_its_own(tmp_path):
    a = network() | {"layers.0.mlp.weight": torch.zeros(6, 6)}
    b = {key: value * 1.1 for key, value in a.items()} | {"layers.0.mlp.weight": torch.ones(6, 6)}
    chart = chart_of(tmp_path, a, b)
    assert chart.lines[0].points[0].state == "from zero"
    assert chart.states == {"changed", "from zero"}


def test_a_block_without_weights_has_no_point_in_their_line(tmp_path):
    a = {"bn1.weight": torch.ones(3), "fc.weight": torch.ones(3, 3)}
    weights, norms = chart_of(tmp_path, a, {key: value * 2 for key, value in a.items()}).lines
    assert weights.points[0] is None
    assert norms.points[1] is None


def test_without_numbers_there_is_no_chart(tmp_path):
    comparison, _ = compared(tmp_path, network(), network())
    assert depth_chart(blocks(comparison, {})) is None
