"""Runs as trainings leave them: wrapped now and then, cut short, in half precision, broken."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.checkpoint import open_checkpoint
from core.compare import measurability
from core.compare.numbers.run_measure import measure_run
from core.progress import Cancelled, Progress
from tests.core.training_runs import ConvNet, train


def epochs_of(model, number, rate=3e-3, steps=6):
    """The state_dicts after each of so many epochs of a training."""
    found = []
    for _ in range(number):
        train(model, steps, rate)
        found.append({key: value.clone() for key, value in model.state_dict().items()})
    return found


def measured(folder, states, **more):
    """The run of files that torch.save wrote, named epoch_1.pth and so on."""
    names = [f"epoch_{number}.pth" for number in range(1, len(states) + 1)]
    for name, state in zip(names, states, strict=True):
        torch.save(state, folder / name)
    return measure_run(
        [open_checkpoint(folder / name).state_dict() for name in names], names, **more
    )


def numpy_norm(tensor):
    return math.sqrt(math.fsum(np.square(tensor.double().numpy()).ravel()))


def numpy_change(a, b):
    move, norm = numpy_norm(b.double() - a.double()), numpy_norm(a)
    return move / norm if norm else (math.inf if move else 0.0)


def by_key(run):
    return {row.key: row for row in run.rows}


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    return epochs_of(ConvNet(), 5)


def test_a_nan_is_found_where_it_first_came_in(tmp_path):
    torch.manual_seed(0)
    model = ConvNet()
    states = epochs_of(model, 3) + epochs_of(model, 2, 1e37, steps=2)
    odd = [
        {key: int((~torch.isfinite(value)).sum()) for key, value in state.items()}
        for state in states
    ]
    assert not any(any(counts.values()) for counts in odd[:3])
    assert any(odd[3].values())
    run = measured(tmp_path, states)
    for row in run.rows:
        counts = [state[row.key] for state in odd]
        told = [nans + infs for nans, infs in zip(row.nans, row.infs, strict=True)]
        assert told == counts
        assert row.first_nan == next((at for at, number in enumerate(counts) if number), None)
        for norm, number, state in zip(row.norms, counts, states, strict=True):
            if not number:
                assert norm == pytest.approx(numpy_norm(state[row.key]), rel=1e-9)
    assert [step.relative_l2 is None for step in run.steps] == [False, False, True, True]


def test_eight_files_of_which_some_come_from_data_parallel_line_up(tmp_path):
    torch.manual_seed(1)
    states = epochs_of(ConvNet(), 8, steps=2)
    wrapped = [
        {f"module.{key}": value for key, value in state.items()} if at % 3 == 0 else state
        for at, state in enumerate(states)
    ]
    run = measured(tmp_path, wrapped)
    assert [row.key for row in run.rows] == list(states[0])
    for row in run.rows:
        assert row.norms == pytest.approx([numpy_norm(state[row.key]) for state in states])


def test_tensors_that_come_and_go_stand_where_their_files_have_them(tmp_path, trained):
    head = {"extra.weight": torch.ones(3)}
    keys = list(trained[0])
    later = {**{k: trained[1][k] for k in keys[:4]}, **head, **{k: trained[1][k] for k in keys[4:]}}
    without = {key: value for key, value in trained[2].items() if not key.startswith("fc")}
    run = measured(tmp_path, [trained[0], later, {**without, **head}])
    rows = by_key(run)
    assert list(rows) == [*keys[:4], "extra.weight", *keys[4:]]
    assert rows["extra.weight"].norms == (None, *[pytest.approx(math.sqrt(3))] * 2)
    assert rows["extra.weight"].changes == (None, 0)
    assert rows["fc.weight"].norms[2] is None
    assert rows["fc.weight"].changes == (
        pytest.approx(numpy_change(trained[0]["fc.weight"], trained[1]["fc.weight"])),
        None,
    )
    assert [(step.new, step.gone) for step in run.steps] == [(1, 0), (0, 2)]


def test_half_precision_in_between_counts_by_its_values(tmp_path):
    w = torch.linspace(-1, 1, 1001)
    (row,) = measured(tmp_path, [{"w": w}, {"w": w.half()}, {"w": w}]).rows
    assert row.changes == pytest.approx(
        [numpy_change(w, w.half()), numpy_change(w.half(), w)], rel=1e-9
    )


def test_frozen_tensors_are_measured_for_their_norm(tmp_path):
    torch.manual_seed(2)
    model = ConvNet()
    states = []
    for _ in range(4):
        train(model, 2, frozen=[model.stem])
        states.append({key: value.clone() for key, value in model.state_dict().items()})
    rows = by_key(measured(tmp_path, states))
    assert rows["stem.conv.weight"].changes == (0, 0, 0)
    assert len(set(rows["stem.conv.weight"].norms)) == 1
    assert rows["stem.conv.weight"].norms[0] == pytest.approx(
        numpy_norm(states[0]["stem.conv.weight"])
    )


def test_elements_of_large_files_that_checksums_tell_to_be_the_same_are_read_once(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(measurability, "READ_BY_ITSELF", 0)
    frozen = torch.randn(50_000)
    progress = Progress()
    measured(
        tmp_path, [{"f": frozen, "w": torch.full((10,), i)} for i in range(8)], progress=progress
    )
    assert (progress.done, progress.total) == (50_000 + 7 * 10,) * 2


def test_files_without_checksums_have_the_same_numbers(tmp_path, trained):
    paths = [tmp_path / f"{at}.safetensors" for at in range(5)]
    for path, state in zip(paths, trained, strict=True):
        save_file(state, path)
    run = measure_run([open_checkpoint(path).state_dict() for path in paths], list("abcde"))
    saved = measured(tmp_path, trained)
    assert by_key(run).keys() == by_key(saved).keys()
    for key, row in by_key(run).items():
        assert row.norms == pytest.approx(by_key(saved)[key].norms, rel=1e-12)
        assert row.changes == pytest.approx(by_key(saved)[key].changes, rel=1e-12)


def test_a_cancel_in_the_middle_keeps_what_is_done(tmp_path):
    torch.manual_seed(3)
    big = [{f"w{key}": torch.randn(300_000) for key in range(4)} for _ in range(5)]
    kept = []

    class Impatient(Progress):
        def __call__(self, done, total, what=""):
            if done > total / 2:
                self.cancel()
            super().__call__(done, total, what)

    with pytest.raises(Cancelled):
        measured(tmp_path, big, progress=Impatient(), so_far=kept.append)
    run = kept[-1]
    assert not run.complete
    done = [row.changes for row in run.rows]
    assert any(change is not None for changes in done for change in changes)
    assert any(change is None for changes in done for change in changes)
    for row in run.rows:
        states = [state[row.key] for state in big]
        for change, (a, b) in zip(row.changes, pairwise(states), strict=True):
            assert change is None or change == pytest.approx(numpy_change(a, b), rel=1e-9)
    assert run.steps[0].relative_l2 is not None
    assert run.steps[-1].relative_l2 is None


def test_optimizer_free_files_with_only_counts_have_no_step(tmp_path):
    run = measured(tmp_path, [{"n": torch.tensor([at])} for at in range(1, 4)])
    assert run.rows[0].changes == pytest.approx([1, 0.5])
    assert [step.relative_l2 for step in run.steps] == [None, None]


@pytest.mark.parametrize("without", [0, 1, 3])
def test_a_mask_that_a_checkpoint_lacks_is_no_divergence(tmp_path, without):
    mask = torch.full((4, 4), -math.inf).triu(1)
    states = [{"mask": mask, "w": torch.full((3,), float(at))} for at in range(1, 5)]
    del states[without]["mask"]
    run = measured(tmp_path, states)
    assert by_key(run)["mask"].lasting
    assert "Infinit" not in run.sentence


def test_infinities_that_come_in_later_or_grow_are_told(tmp_path):
    w = torch.arange(1.0, 5.0)
    broken, worse = w.clone(), w.clone()
    broken[0] = worse[0] = worse[1] = math.inf
    later = measured(tmp_path, [{"w": w}, {"w": broken}, {"w": broken}])
    assert later.sentence.startswith("Infinities first in epoch_2.pth")
    grown = measured(tmp_path, [{"w": broken}, {"w": broken}, {"w": worse}])
    assert grown.sentence.startswith("Infinities already in the first checkpoint")


def test_a_mask_is_no_divergence_while_the_run_is_measured(tmp_path):
    mask = torch.full((4, 4), -math.inf).triu(1)
    paths = [tmp_path / f"{at}.safetensors" for at in range(4)]
    for at, path in enumerate(paths):
        save_file({"mask": mask, "w": torch.full((3,), float(at + 1))}, path)
    so_far = []
    state_dicts = [open_checkpoint(path).state_dict() for path in paths]
    measure_run(state_dicts, list("abcd"), so_far=so_far.append)
    assert len(so_far) > 1
    assert not any("Infinit" in run.sentence for run in so_far)
