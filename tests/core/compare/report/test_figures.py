"""The figures show the numbers that were taken, and do nothing that a file's names ask for."""

import math

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.depth import blocks, part_map
from core.compare.measurability import measurable
from core.compare.numbers.measure import differences
from core.compare.report.figures import (
    POINTS,
    depth_figure,
    part_figure,
    relative_change_text,
    scatter_figure,
)
from core.compare.rows import compare
from core.keys import ModuleKind
from core.wording import count, percent


def compared(folder, a, b):
    for name, value in zip("ab", (a, b), strict=True):
        torch.save(value, folder / f"{name}.pth")
    found = compare(*(open_checkpoint(folder / f"{name}.pth").state_dict() for name in "ab"))
    pairs = measurable(found)
    keys = list(pairs)
    return found, {keys[i]: one for i, one in differences(list(pairs.values()))}


@pytest.fixture
def transformer(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 4, enable_nested_tensor=False
    )
    a = model.state_dict()
    b = {
        key: value * (1 + 10.0 ** -int(key.split(".")[1])) if "linear" in key else value.clone()
        for key, value in a.items()
    }
    return compared(tmp_path, a, b)


def test_the_bars_are_the_blocks_changes_in_the_networks_order(transformer):
    found = blocks(*transformer)
    figure = depth_figure(found)
    (bars,) = figure.data
    assert bars.name == "linear"
    assert list(bars.x) == ["0", "1", "2", "3"]
    assert list(bars.y) == pytest.approx([100, 10, 1, 0.1], rel=1e-4)
    assert [custom[0] for custom in bars.customdata] == [block.name for block in found]
    assert list(figure.layout.xaxis.categoryarray) == list(bars.x)
    assert figure.layout.yaxis.type == "log"
    assert "relative change" in figure.layout.yaxis.title.text


def test_statistics_of_norms_wait_in_the_legend(tmp_path):
    a = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict()
    b = {key: value + 1 for key, value in a.items()}
    shown = {
        trace.name: trace.visible for trace in depth_figure(blocks(*compared(tmp_path, a, b))).data
    }
    assert shown[str(ModuleKind.STATISTICS)] == "legendonly"
    assert shown[str(ModuleKind.CONV)] is True


def test_the_map_has_a_cell_a_block_and_part(transformer):
    found = part_map(blocks(*transformer))
    cells, points = part_figure(found).data
    assert list(cells.x) == ["0", "1", "2", "3"]
    row = list(cells.y).index("linear1")
    assert list(cells.z[row]) == pytest.approx([2, 1, 0, -1], abs=1e-3)
    clicked = dict(zip(zip(points.x, points.y, strict=True), points.customdata, strict=True))
    assert clicked["2", "linear1"][0] == "layers.2"
    assert len(clicked) == len(found.blocks) * len(found.parts)
    same = list(cells.y).index("norm1")
    assert len(set(cells.z[same])) == 1
    assert cells.z[same][0] < min(cells.z[row])
    assert list(cells.colorbar.ticktext) == [
        "same",
        "0.1\u202f%",
        "1\u202f%",
        "10\u202f%",
        "100\u202f%",
    ]


def test_the_points_are_the_measured_tensors(transformer):
    comparison, numbers = transformer
    figure = scatter_figure(comparison.rows, numbers)
    points = {
        custom[0]: (x, y)
        for trace in figure.data
        for custom, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    }
    assert points.keys() == numbers.keys()
    for key, (norm, change) in points.items():
        assert (norm, change) == (numbers[key].norm_a, 100 * numbers[key].relative_l2)
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_of_very_many_points_those_that_changed_most_are_drawn_and_the_axis_says_so(tmp_path):
    a = {f"layers.{index}.weight": torch.ones(1) for index in range(POINTS + 5)}
    b = {key: value + (index + 1) / 1e4 for index, (key, value) in enumerate(a.items())}
    figure = scatter_figure(*compared_rows(tmp_path, a, b))
    drawn = {custom[0] for trace in figure.data for custom in trace.customdata}
    assert drawn == set(list(a)[5:])
    assert figure.layout.xaxis.title.text == (
        f"norm in A<br>the {count(POINTS)} most changed of {count(POINTS + 5)}"
    )


def compared_rows(folder, a, b):
    comparison, numbers = compared(folder, a, b)
    return comparison.rows, numbers


def test_without_numbers_there_is_nothing_to_draw(transformer):
    comparison, _ = transformer
    assert depth_figure(blocks(comparison, {})) is None
    assert scatter_figure(comparison.rows, {}) is None


def test_a_change_from_zero_is_said_and_not_drawn(tmp_path):
    found = blocks(*compared(tmp_path, {"a.weight": torch.zeros(2)}, {"a.weight": torch.ones(2)}))
    assert found[0].whole.relative == math.inf
    (bars,) = depth_figure(found).data
    assert list(bars.y) == [None]
    assert "from zero" in bars.customdata[0][2]


def test_markup_in_names_stays_text(tmp_path):
    a = {
        f"<img src=x>.{index}.<b>p{part}</b>.weight": torch.ones(2, 2)
        for index in range(3)
        for part in range(2)
    }
    comparison, numbers = compared(tmp_path, a, {key: value + 1 for key, value in a.items()})
    found = blocks(comparison, numbers)
    figures = [depth_figure(found), scatter_figure(comparison.rows, numbers)]
    mapped = part_map(found)
    figures += [part_figure(mapped)] if mapped else []
    for figure in figures:
        for trace in figure.data:
            told = [*(trace.x or ()), *(getattr(trace, "y", None) or ())]
            assert not any("<img" in str(one) for one in told)
            assert "%{customdata[0]}" not in (trace.hovertemplate or "")


@pytest.mark.parametrize(("far", "step"), [(3.0, "D2"), (1e4, 1), (1e20, 3)])
def test_the_points_axes_always_have_a_tick(tmp_path, far, step):
    a = {"a.weight": torch.full((2, 2), 1.0), "b.weight": torch.full((2, 2), far)}
    comparison, numbers = compared(tmp_path, a, {key: value * 1.5 for key, value in a.items()})
    figure = scatter_figure(comparison.rows, numbers)
    assert figure.layout.xaxis.dtick == step
    assert figure.layout.yaxis.dtick == "D2"
    assert (figure.layout.yaxis.tickformat, figure.layout.yaxis.ticksuffix) == ("~g", "\u202f%")


def test_figures_write_numbers_as_the_texts_beside_them(tmp_path):
    a = {"fc.weight": torch.ones(2), "head.weight": torch.ones(2)}
    b = {"fc.weight": torch.ones(2) * 1.2, "head.weight": torch.ones(2) * 1.1}
    layout = depth_figure(blocks(*compared(tmp_path, a, b))).layout
    assert (layout.yaxis.tickformat, layout.yaxis.ticksuffix) == ("~g", percent(0.2)[2:])
    assert f"1{layout.separators[1]}000" == count(1000)
    assert [relative_change_text(change) for change in (0.2, 1e-9, 45)] == [
        *("20\u202f%", "1e-7\u202f%", "4.5e3\u202f%")
    ]


def test_a_bar_says_which_tensors_have_no_numbers(tmp_path):
    a = {"fc.weight": torch.ones(4, 2), "fc.bias": torch.ones(4)}
    b = {"fc.weight": torch.ones(3, 2), "fc.bias": torch.ones(4) * 1.5}
    (bars,) = depth_figure(blocks(*compared(tmp_path, a, b))).data
    assert bars.customdata[0][2] == (
        "changed by 50\u202f% over the 1 measured<br>2 of 2 tensors differ"
        "<br>not measured: 1 reshaped"
    )
