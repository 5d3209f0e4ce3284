"""What a folder offers as a run."""

import pytest
import torch
from safetensors.torch import save_file

from core.errors import SourceError
from core.server.run_choice import evenly, run_files


def test_checkpoints_come_by_the_numbers_in_their_names_and_folders_apart(tmp_path):
    for name in ("epoch_10.pth", "epoch_9.pth", "epoch_100.ckpt"):
        torch.save({"w": torch.ones(1)}, tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "other").mkdir()
    for step in (500, 1000):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        save_file({"w": torch.ones(1)}, folder / "model.safetensors")
        torch.save({"state": {}, "param_groups": []}, folder / "optimizer.pt")
    files, folders = run_files(tmp_path)
    assert [entry.name for entry in files] == [
        *("checkpoint-500", "checkpoint-1000"),
        *("epoch_9.pth", "epoch_10.pth", "epoch_100.ckpt"),
    ]
    assert folders == ("other",)


def test_a_folder_outside_is_refused(tmp_path):
    with pytest.raises(SourceError):
        run_files(tmp_path, "..")


def test_of_many_the_first_the_last_and_some_between_are_taken():
    assert evenly(list(range(100))) == [0, 14, 28, 42, 56, 70, 84, 99]
    assert evenly([3, 1]) == [3, 1]
