"""Checkpoints of a run stand in the order of their training, and the evidence is told."""

import random

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.run.run_order import in_order, labels


def saved(folder, files):
    """Open files that torch.save wrote, in the order given."""
    for name, held in files.items():
        torch.save({"state_dict": {"w": torch.ones(2)}, **held}, folder / name)
    return [open_checkpoint(folder / name) for name in files]


def names(checkpoints):
    return [checkpoint.name for checkpoint in checkpoints]


def test_the_epoch_that_the_files_hold_goes_before_their_names(tmp_path):
    found, evidence = in_order(
        saved(
            tmp_path, {"last.pth": {"epoch": 12}, "z.pth": {"epoch": 2}, "best.pth": {"epoch": 9}}
        )
    )
    assert names(found) == ["z.pth", "best.pth", "last.pth"]
    assert evidence == "by the epoch in their metadata"
    assert labels(found) == ("epoch 2", "epoch 9", "epoch 12")


def test_the_step_tells_where_there_is_no_epoch(tmp_path):
    files = {"b.pth": {"global_step": 20_000}, "a.pth": {"global_step": 100_000}}
    found, evidence = in_order(saved(tmp_path, files))
    assert names(found) == ["b.pth", "a.pth"]
    assert evidence == "by the global_step in their metadata"
    assert labels(found) == ("global_step 20\u202f000", "global_step 100\u202f000")


def test_steps_that_begin_anew_in_each_epoch_follow_the_epoch(tmp_path):
    marks = [(0, 500), (0, 1000), (1, 500), (1, 1000)]
    files = {f"{9 - i}.pth": {"epoch": e, "step": s} for i, (e, s) in enumerate(marks)}
    found, evidence = in_order(saved(tmp_path, dict(reversed(files.items()))))
    assert names(found) == list(files)
    assert evidence == "by the epoch and step in their metadata"
    assert labels(found)[1] == "epoch 0, step 1\u202f000"


@pytest.mark.parametrize("held", [{}, {"epoch": 3}])
def test_without_epochs_that_differ_the_numbers_in_the_names_tell(tmp_path, held):
    files = {f"model{index}.pth": dict(held) for index in (10, 9, 8, 1, 2, 11, 100, 3)}
    found, evidence = in_order(saved(tmp_path, files))
    assert names(found) == [f"model{index}.pth" for index in (1, 2, 3, 8, 9, 10, 11, 100)]
    assert evidence == "by the numbers in their names"
    assert labels(found) == tuple(names(found))


def test_an_epoch_that_one_file_lacks_is_no_evidence(tmp_path):
    files = {"run_1.pth": {"epoch": 9}, "run_2.pth": {"epoch": 5}, "run_3.pth": {}}
    found, evidence = in_order(saved(tmp_path, files))
    assert names(found) == list(files)
    assert evidence == "by the numbers in their names"


def test_of_several_numbers_in_a_name_that_of_the_epoch_counts(tmp_path):
    files = {"acc=0.5-epoch=10.pth": {}, "acc=0.7-epoch=2.pth": {}, "acc=0.1-epoch=3.pth": {}}
    found, evidence = in_order(saved(tmp_path, files))
    assert names(found) == [list(files)[index] for index in (1, 2, 0)]
    assert evidence == "by the epoch in their names"


def test_names_without_numbers_are_only_names(tmp_path):
    found, evidence = in_order(saved(tmp_path, {"last.pth": {}, "best.pth": {}}))
    assert names(found) == ["best.pth", "last.pth"]
    assert evidence == "by their names"


def test_the_order_in_which_files_are_given_has_no_effect(tmp_path):
    files = saved(tmp_path, {f"e{i:02d}x{'9' * 30}{i}.pth": {} for i in range(8)})
    mixed = random.Random(0).sample(files, 8)
    assert in_order(mixed) == in_order(files)


def test_files_of_one_name_get_labels_apart(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    both = saved(tmp_path / "a", {"w.pth": {}}) + saved(tmp_path / "b", {"w.pth": {}})
    assert labels(both) == ("w.pth (1)", "w.pth (2)")
    assert in_order([]) == ((), "by their names")
