"""A run's figure shows the steps that were measured, and marks where it broke."""

import json
import math

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.numbers.run_measure import measure_run
from core.compare.report.run_figures import row_figure, run_figure, small_lines


@pytest.fixture
def measured(tmp_path):
    """The run of these state_dicts, each saved by torch under a name of its own."""

    def measure(*states, names=None):
        names = names or [f"epoch_{at}.pth" for at in range(len(states))]
        found = []
        for at, state in enumerate(states):
            torch.save(state, tmp_path / f"{at}.pth")
            found.append(open_checkpoint(tmp_path / f"{at}.pth").state_dict())
        return measure_run(found, names)

    return measure


def of(*values):
    return [
        {"a.weight": torch.tensor([4.0]), "b.weight": torch.tensor([value])} for value in values
    ]


def test_a_bar_stands_over_the_checkpoint_to_which_its_step_leads(measured):
    figure = run_figure(measured(*of(3.0, 6.0, 6.0)))
    bars, marks = figure.data
    assert list(bars.x) == [1, 2]
    assert list(bars.y) == pytest.approx([60, 0])
    assert list(figure.layout.xaxis.ticktext) == ["epoch_0.pth", "epoch_1.pth", "epoch_2.pth"]
    assert list(bars.customdata[0][:3]) == [1, "epoch_0.pth", "epoch_1.pth"]
    assert len(marks.x) == 0
    assert "relative change" in figure.layout.yaxis.title.text


def test_steps_far_apart_stand_on_a_logarithm(measured):
    figure = run_figure(measured(*of(3.0, 6.0, 6.001)))
    assert figure.layout.yaxis.type == "log"


def test_a_nan_is_marked_by_a_cross_and_a_word_where_it_is(measured):
    run = measured(*of(3.0, 6.0, math.nan, math.inf, 1.0))
    _, marks = run_figure(run).data
    assert list(marks.x) == [2, 3]
    assert list(marks.text) == ["NaN", "infinity"]
    assert marks.marker.symbol == "x"
    assert "1 of 2 tensors" in marks.customdata[0][2]
    assert "b.weight" in marks.customdata[0][2]


def test_a_nan_in_the_first_checkpoint_is_marked_though_no_step_leads_there(measured):
    _, marks = run_figure(measured(*of(math.nan, 6.0))).data
    assert list(marks.x) == [0]


def test_a_mask_of_infinities_is_not_marked(measured):
    states = [state | {"mask": torch.tensor([-math.inf, 0])} for state in of(1.0, 2.0)]
    _, marks = run_figure(measured(*states)).data
    assert len(marks.x) == 0


def test_without_a_number_there_is_nothing_to_draw(measured):
    assert run_figure(measured({"n": torch.tensor([1])}, {"n": torch.tensor([2])})) is None


def test_small_lines_hold_only_finite_numbers(measured):
    run = measured(*of(0.0, 6.0, math.nan, 3.0))
    first, second = small_lines(run)
    assert first.norms == (4.0,) * 4
    assert first.changes == (0.0,) * 3
    assert second.norms == (0.0, 6.0, 3.0)
    assert second.changes == ()
    json.dumps([second.norms, second.changes], allow_nan=False)


def test_markup_in_names_stays_text(measured):
    hostile = "<img src=x onerror=alert(1)>"
    states = [{hostile: torch.tensor([value])} for value in (1.0, 2.0, math.nan)]
    figure = run_figure(measured(*states, names=[hostile, "b", "c"]))
    assert "<img" not in figure.to_json().replace("\\u003c", "<")


def test_the_figure_takes_the_themes_ground_and_text(measured):
    layout = run_figure(measured(*of(1.0, 2.0))).layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert layout.font.color is None


def test_one_tensors_course_is_its_norms_and_the_changes_to_them(measured):
    run = measured(*of(3.0, 6.0, math.nan))
    changes, norms = row_figure(run, run.rows[1]).data
    assert list(norms.y) == [3, 6, None]
    assert list(changes.x) == [1, 2]
    assert list(changes.y) == [100, None]
