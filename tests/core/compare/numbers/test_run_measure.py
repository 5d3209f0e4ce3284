"""Several checkpoints of one run: how each tensor moved, and where a NaN first came in."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from benchmarks.peak_memory import peak, reset_peak
from core.checkpoint import StateDict, open_checkpoint
from core.compare import measurability
from core.compare.numbers import run_measure as run_module
from core.compare.numbers.run_measure import measure_run
from core.compare.run.run_summary import run_sentence
from core.compare.run.training_run import Run, RunRow, RunStep
from core.compare.texts.csv_rows import run_csv
from core.errors import LoupeError
from core.progress import Cancelled, Progress
from tests.core.compare.damaged_files import overwritten
from tests.core.training_runs import ConvNet, digits

THIN = "\u202f"


def epochs(model: nn.Module, folder: Path, rates: Sequence[float]) -> list[Path]:
    """Train with SGD, an epoch of ten batches a rate, and save after each."""
    images, labels = digits()
    shuffle = torch.Generator().manual_seed(3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    model.train()
    paths = []
    for epoch, rate in enumerate(rates, 1):
        optimizer.param_groups[0]["lr"] = rate
        for _ in range(10):
            batch = torch.randint(0, len(labels), (128,), generator=shuffle)
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        paths.append(folder / f"epoch_{epoch}.pth")
        torch.save({"model": model.state_dict(), "epoch": epoch}, paths[-1])
    return paths


def loaded(paths: Sequence[Path]) -> list[dict[str, np.ndarray]]:
    return [
        {key: t.double().numpy().reshape(-1) for key, t in torch.load(path)["model"].items()}
        for path in paths
    ]


def measured(paths: Sequence[Path], **options: object) -> Run:
    found = [open_checkpoint(path) for path in paths]
    return measure_run([each.state_dict() for each in found], [p.name for p in paths], **options)


def rows(run: Run) -> dict[str, RunRow]:
    return {row.key: row for row in run.rows}


@pytest.fixture
def saved(tmp_path: Path):
    """Save state_dicts as torch does, and follow them."""

    def save(*held: Mapping[str, object], **options: object) -> Run:
        paths = [tmp_path / f"{at}.pth" for at in range(len(held))]
        for path, tensors in zip(paths, held, strict=True):
            torch.save(dict(tensors), path)
        return measured(paths, **options)

    return save


@pytest.fixture(scope="module")
def settling(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    torch.manual_seed(0)
    return epochs(ConvNet(), tmp_path_factory.mktemp("run"), [0.1, 0.1, 0.01, 0.001, 0.0001])


@pytest.fixture(scope="module")
def diverging(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    torch.manual_seed(0)
    return epochs(ConvNet(), tmp_path_factory.mktemp("bad"), [0.01, 0.01, 0.01, 1e38, 0.01])


def test_norms_and_changes_are_numpys(settling):
    run = measured(settling)
    raw = loaded(settling)
    assert run.names == tuple(path.name for path in settling)
    assert [row.key for row in run.rows] == list(raw[0])
    for row in run.rows:
        values = [each[row.key] for each in raw]
        assert row.norms == pytest.approx([np.linalg.norm(v) for v in values], rel=1e-9)
        steps = [np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in pairwise(values)]
        assert row.changes == pytest.approx(steps, rel=1e-6)
        assert row.first_nan is None
        assert row.nans == row.infs == (0,) * 5
    assert run.complete


def test_the_whole_models_change_is_that_of_its_parameters_as_one_vector(settling):
    run = measured(settling)
    names = dict(ConvNet().named_parameters())
    whole = [np.concatenate([each[key] for key in names]) for each in loaded(settling)]
    expected = [np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in pairwise(whole)]
    assert [step.relative_l2 for step in run.steps] == pytest.approx(expected, rel=1e-6)
    assert {row.key for row in run.rows if row.weight} == set(names)
    assert [(step.changed, step.same, step.shared) for step in run.steps] == [(20, 0, 20)] * 4


def test_a_run_that_settles_is_told_with_its_first_and_last_step(settling):
    run = measured(settling)
    first, last = run.steps[0].relative_l2, run.steps[-1].relative_l2
    assert first > 3 * last
    assert run.sentence == (
        f"The run settles: the change per step fell from {100 * first:.0f}{THIN}% to "
        f"{'under 0.1' if last < 0.001 else f'{100 * last:.1f}'}{THIN}%."
    )


def test_a_run_that_diverges_says_where_the_nan_came_in(diverging):
    run = measured(diverging)
    raw = loaded(diverging)
    hit = [key for key, values in raw[3].items() if np.isnan(values).any()]
    assert not any(np.isnan(values).any() for each in raw[:3] for values in each.values())
    pace = [f"{100 * step.relative_l2:.1f}{THIN}%" for step in run.steps[:2]]
    low, high = sorted(pace, key=lambda text: float(text[:-2]))
    assert run.sentence == (
        f"NaN first in epoch_4.pth, in {len(hit)} of 20 tensors, of which "
        f"{hit[0]} comes first in the model; until then the weights changed by {low} to {high} "
        "per step."
    )
    for row in run.rows:
        if row.key in hit:
            assert row.first_nan == 3
            assert row.nans[3] == np.isnan(raw[3][row.key]).sum()
            assert row.norms[3] is None
            stays = np.array_equal(raw[3][row.key], raw[4][row.key], equal_nan=True)
            assert row.changes[2:] == (None, 0.0 if stays else None)
        expected = [np.linalg.norm(each[row.key]) for each in raw[:3]]
        assert row.norms[:3] == pytest.approx(expected, rel=1e-9), "also beside a NaN"
    assert [step.relative_l2 is None for step in run.steps] == [False, False, True, True]


def test_a_norm_beside_a_nan_is_over_all_its_own_elements(saved):
    torch.manual_seed(0)
    good = torch.randn(1000)
    bad = good.clone()
    bad[::2] = math.nan
    (row,) = saved({"w": good}, {"w": bad}, {"w": good * 2}).rows
    assert row.norms == (
        pytest.approx(good.double().norm().item()),
        None,
        pytest.approx(2 * good.double().norm().item()),
    )
    assert (row.changes, row.nans, row.first_nan) == ((None, None), (0, 500, 0), 1)


def test_a_run_that_comes_back_from_a_nan_says_so(saved):
    good, bad = torch.ones(4), torch.tensor([1.0, math.nan, 1, 1])
    assert saved({"w": good}, {"w": bad}, {"w": good * 2}).sentence == (
        "NaN first in 1.pth, in w, the one tensor; 2.pth is free of them again."
    )


def test_a_nan_from_the_start_and_an_infinity_are_told_as_such(saved):
    good, bad = torch.ones(4), torch.tensor([1.0, math.nan, 1, 1])
    infinite = torch.tensor([1.0, math.inf, 1, 1])
    assert saved({"w": bad, "v": good}, {"w": bad, "v": good}).sentence == (
        "NaN already in the first checkpoint, 0.pth, in w, 1 of 2 tensors."
    )
    assert saved({"w": good}, {"w": good * 2}, {"w": infinite}).sentence == (
        f"Infinities first in 2.pth, in w, the one tensor; until then the weights changed by "
        f"100{THIN}% in the one step before."
    )


def test_a_mask_of_infinities_is_no_divergence(saved):
    mask = torch.full((4, 4), -math.inf).triu(1)
    run = saved(*({"mask": mask, "w": torch.full((3,), float(2**at))} for at in range(3)))
    assert rows(run)["mask"].first_nan == 0
    assert rows(run)["mask"].changes == (0.0, 0.0)
    assert [step.relative_l2 for step in run.steps] == [1.0, 1.0]
    assert run.sentence == (
        f"The run goes on at an even pace: the weights changed by 100{THIN}% per step."
    )


def test_a_mask_is_no_divergence_where_files_keep_no_checksums(tmp_path):
    mask = torch.full((4, 4), -math.inf).triu(1)
    paths = [tmp_path / f"{at}.safetensors" for at in range(3)]
    for at, path in enumerate(paths):
        save_file({"mask": mask.contiguous(), "w": torch.full((3,), float(2**at))}, path)
    run = measured(paths)
    assert rows(run)["mask"].changes == (0.0, 0.0)
    assert [step.relative_l2 for step in run.steps] == [1.0, 1.0]


def test_files_that_stop_changing_say_from_where(saved):
    w = [torch.full((4,), value) for value in (1.0, 1.5, 3.0, 3.0, 3.0)]
    assert saved(*({"w": each} for each in w)).sentence == (
        f"Nothing changed from 2.pth on; before that, the weights changed by 50{THIN}% to "
        f"100{THIN}% per step."
    )
    assert saved(*({"w": each} for each in w[1:4])).sentence == (
        f"Nothing changed from 1.pth on; the step before changed the weights by 100{THIN}%."
    )
    assert saved(*({"w": each} for each in w[2:])).sentence == (
        "Nothing changed: all 3 checkpoints contain the same values."
    )


def test_of_large_files_tensors_with_the_same_checksum_are_read_once_for_their_norm(
    saved, monkeypatch
):
    monkeypatch.setattr(measurability, "READ_BY_ITSELF", 0)
    asked = []
    real = run_module.differences

    def counted(pairs, **options):
        asked.append([(a.key, a is b) for a, b in pairs])
        return real(pairs, **options)

    monkeypatch.setattr(run_module, "differences", counted)
    frozen = torch.arange(5.0)
    run = saved(*({"frozen": frozen, "w": torch.full((4,), float(2**at))} for at in range(4)))
    assert asked == [[("w", False)]] * 3 + [[("frozen", True)]]
    assert rows(run)["frozen"].norms == (pytest.approx(math.sqrt(30)),) * 4
    assert rows(run)["frozen"].changes == (0.0,) * 3
    steps = [math.sqrt(4 * 4**at) / math.hypot(math.sqrt(30), 2 * 2**at) for at in range(3)]
    assert [step.relative_l2 for step in run.steps] == pytest.approx(steps)
    assert [(step.same, step.by_checksum, step.changed) for step in run.steps] == [(1, 1, 1)] * 3
    assert saved({"frozen": frozen}, {"frozen": frozen}).sentence == (
        "The same by checksum: both checkpoints have the same stored checksums, and not all of "
        "their bytes were compared."
    )


@pytest.mark.parametrize("read_by_itself", [0, measurability.READ_BY_ITSELF])
def test_a_checksum_that_does_not_hold_is_told_by_tensor(tmp_path, monkeypatch, read_by_itself):
    monkeypatch.setattr(measurability, "READ_BY_ITSELF", read_by_itself)
    paths = [tmp_path / f"{at}.pth" for at in range(3)]
    for at, path in enumerate(paths):
        torch.save({"w": torch.full((40,), float(at)), "frozen": torch.ones(40)}, path)
    worse = overwritten(paths[2], tmp_path / "worse.pth", "data/0")
    assert measured([*paths[:2], worse]).sentence.startswith(
        "Damaged: the stored checksum of w in worse.pth does not hold. "
    )
    frozen = overwritten(paths[1], tmp_path / "frozen.pth", "data/1")
    run = measured([paths[0], frozen])
    assert (run.steps[0].same, run.steps[0].by_checksum) == ((0, 0) if read_by_itself else (1, 1))
    assert run.sentence.startswith("Damaged: ") == bool(read_by_itself)


def test_eight_files_are_followed_and_nine_are_refused(tmp_path):
    torch.manual_seed(0)
    paths = epochs(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), tmp_path, [0.01] * 9)
    run = measured(paths[:8])
    assert len(run.steps) == 7
    assert all(len(row.norms) == 8 and None not in row.norms for row in run.rows)
    for count in (9, 1, 0):
        with pytest.raises(LoupeError, match=f"2 to 8 checkpoints, not {count}"):
            measured(paths[:count])


@pytest.mark.parametrize("wrapped", [{0}, {1, 3}, {4}, {0, 1, 2, 3, 4}])
def test_keys_go_together_through_a_wrapper_in_some_files(settling, tmp_path, wrapped):
    paths = []
    for at, path in enumerate(settling):
        held = torch.load(path)["model"]
        paths.append(tmp_path / path.name)
        prefix = "module." if at in wrapped else ""
        torch.save({"model": {prefix + key: t for key, t in held.items()}}, paths[-1])
    run, plain = measured(paths), measured(settling)
    prefix = "module." if len(wrapped) == 5 else ""
    assert [row.key for row in run.rows] == [prefix + row.key for row in plain.rows]
    assert [row.norms for row in run.rows] == [row.norms for row in plain.rows]
    assert run.sentence == plain.sentence


def test_two_wrappers_are_taken_off_as_they_come(settling, tmp_path):
    paths = []
    for at, path in enumerate(settling):
        held = torch.load(path)["model"]
        paths.append(tmp_path / path.name)
        prefix = ["_orig_mod.module.", "module.", "", "_orig_mod.", ""][at]
        torch.save({"model": {prefix + key: t for key, t in held.items()}}, paths[-1])
    assert [row.key for row in measured(paths).rows] == list(ConvNet().state_dict())


def test_a_missing_key_leaves_a_gap_and_stands_where_its_file_has_it(saved):
    a, b, c = torch.ones(2), torch.full((2,), 2.0), torch.full((2,), 3.0)
    run = saved({"a": a, "z": a}, {"a": b, "m": b, "z": b}, {"first": c, "a": c, "z": c})
    assert [row.key for row in run.rows] == ["first", "a", "m", "z"]
    root = math.sqrt(2)
    assert rows(run)["m"].norms == (None, pytest.approx(2 * root), None)
    assert rows(run)["first"].norms == (None, None, pytest.approx(3 * root))
    assert rows(run)["m"].changes == (None, None)
    assert [(s.shared, s.new, s.gone) for s in run.steps] == [(2, 1, 0), (2, 1, 1)]
    assert run.sentence.endswith("2 tensors are not in every checkpoint.")


def test_another_shape_has_its_norms_and_no_change(saved):
    head, other = torch.ones(10, 4), torch.ones(3, 4)
    body = [torch.full((4,), float(2**at)) for at in range(3)]
    run = saved(*({"b": b, "h": h} for b, h in zip(body, (head, head, other), strict=True)))
    assert rows(run)["h"].norms == pytest.approx([math.sqrt(40)] * 2 + [math.sqrt(12)])
    assert rows(run)["h"].changes == (0.0, None)
    assert rows(run)["h"].shapes == ((10, 4), (10, 4), (3, 4))
    assert run.steps[1].relative_l2 == 1.0, "over the weights of one shape"
    assert run.sentence.endswith("h changes shape.")


def test_other_dtypes_have_numbers_and_sparse_tensors_have_none(saved):
    w = torch.tensor([3.0, 4.0])
    sparse = torch.eye(3).to_sparse()
    run = saved(
        {"w": w, "s": sparse}, {"w": w.half(), "s": sparse}, {"w": w.double() * 2, "s": sparse}
    )
    assert rows(run)["w"].norms == (5.0, 5.0, 10.0)
    assert rows(run)["w"].changes == (0.0, 1.0)
    assert rows(run)["s"].norms == (None,) * 3
    assert rows(run)["s"].changes == (0.0, 0.0)


def test_a_cancel_keeps_what_was_measured(settling):
    class Stops(Progress):
        def __call__(self, done: int, total: int, what: str = "") -> None:
            super().__call__(done, total, what)
            if done > 0.6 * total:
                self.cancel()

    progress, kept = Stops(), []
    with pytest.raises(Cancelled):
        measured(settling, progress=progress, so_far=kept.append)
    assert not kept[-1].complete
    assert kept[-1].sentence == "The measurement is not complete yet."
    whole = measured(settling)
    assert kept[-1].steps[0] == whole.steps[0]
    assert kept[-1].steps[3].relative_l2 is None
    for part, row in zip(kept[-1].rows, whole.rows, strict=True):
        assert part.changes[0] == row.changes[0]
        assert part.changes[3] is None


def test_a_nan_is_told_before_all_is_measured(diverging):
    told = []
    measured(diverging, so_far=lambda run: told.append(run.sentence))
    assert told[0] == "The measurement is not complete yet."
    assert told[2].startswith("So far: NaN first in epoch_4.pth, in ")


def test_progress_counts_elements_and_never_goes_back(settling, saved):
    class Notes(Progress):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[tuple[int, int]] = []

        def __call__(self, done: int, total: int, what: str = "") -> None:
            super().__call__(done, total, what)
            self.seen.append((done, total))

    progress = Notes()
    measured(settling, progress=progress)
    numel = sum(t.numel() for t in torch.load(settling[0])["model"].values())
    assert {total for _, total in progress.seen} == {4 * numel}
    assert [done for done, _ in progress.seen] == sorted(done for done, _ in progress.seen)
    assert progress.fraction == 1

    progress = Notes()
    frozen = {"frozen": torch.ones(1000)}
    saved(*({**frozen, "w": torch.full((4,), float(at))} for at in range(3)), progress=progress)
    assert progress.seen[-1] == (2008, 2008)


def test_the_csv_has_a_line_a_tensor_and_no_formula(saved):
    w = [torch.full((4,), value) for value in (1.0, 2.0, math.nan)]
    run = saved(*({"=cmd|' /C calc'!A0": each, "b": torch.ones(1)} for each in w))
    header, first, second, last = csv.reader(io.StringIO(run_csv(run)))
    assert header == [
        "key", "norm in 0.pth", "norm in 1.pth", "norm in 2.pth", "change to 1.pth",
        "change to 2.pth", "first_nan",
    ]  # fmt: skip
    assert first == ["'=cmd|' /C calc'!A0", "2.0", "4.0", "", "1.0", "", "2.pth"]
    assert second == ["b", "1.0", "1.0", "1.0", "0.0", "0.0", ""]
    assert last == ["(all weights)", "", "", "", str(2 / math.sqrt(5)), "", ""]


def told(*moves: float | None) -> str:
    steps = [RunStep(move, 0, 5, 5, 0, 0) for move in moves]
    names = [f"e{at}" for at in range(len(moves) + 1)]
    empty = (None,) * len(moves)
    shapes = ((2,),) * len(names)
    zeros = (0,) * len(names)
    row = RunRow("w", shapes, (1.0,) * len(names), empty, zeros, zeros, None, weight=True)
    return run_sentence(names, [row], steps, complete=True)


@pytest.mark.parametrize(
    ("moves", "sentence"),
    [
        ((0.12, 0.05, 0.004), "The run settles: the change per step fell from 12 % to 0.4 %."),
        (
            (0.12, 0.02, 0.024, 0.01),
            "The run settles: the change per step fell from 12 % to 1.0 %.",
        ),
        (
            (0.01, 0.04, 0.4),
            "The run does not settle: the change per step grew from 1.0 % to 40 %.",
        ),
        (
            (0.031, 0.034, 0.030),
            "The run goes on at an even pace: the weights changed by 3.0 % to 3.4 % per step.",
        ),
        (
            (0.01, 0.5, 0.012, 0.011),
            "One step stands out, from e1 to e2: it changed the weights by 50 %, the others by at "
            "most 1.2 %.",
        ),
        (
            (0.01, 0.02, 0.04, 0.01),
            "The change per step was between 1.0 % (to e1) and 4.0 % (to e3).",
        ),
        ((0.0, 0.0), "No weight changed, only counters and statistics did."),
        ((0.25,), "From e0 to e1 the weights changed by 25 %."),
        ((0.25, math.inf), "All weights of e1 are zero, and those of e2 are not."),
        ((None, None), "Tensors changed in 2 of 2 steps."),
        ((0.0004, 0.0002, 0.0001), "In every step the weights changed by under 0.1 %."),
    ],
)  # fmt: skip
def test_the_course_of_a_run_in_words(moves, sentence):
    assert told(*moves).replace(THIN, " ") == sentence


def test_large_tensors_take_little_memory(tmp_path):
    paths = []
    for at in range(3):
        paths.append(tmp_path / f"{at}.pth")
        torch.save({"w": torch.randn(24 << 20)}, paths[-1])
    measured(paths[:2])
    before = reset_peak()
    run = measured(paths)
    assert peak() - before < 128 << 20
    assert run.complete


def test_tensors_are_what_tells_and_not_the_number_of_files(saved):
    assert saved({"w": torch.ones(0)}, {"w": torch.ones(0)}).sentence == (
        "Nothing changed: both checkpoints contain the same values."
    )
    assert measure_run([StateDict(()), StateDict(())], ["a", "b"]).sentence == (
        "None of these checkpoints contains a tensor."
    )
