"""What a file holds besides its tensors, one line each."""

from pathlib import Path

import pytest
import torch

from core.checkpoint import open_checkpoint, surroundings
from core.predict import file_contents
from core.predict.file_contents import preprocessing_words
from core.server import SAMPLES


def contents_of(path: Path) -> dict[str, str]:
    checkpoint = open_checkpoint(path, around=surroundings(path))
    found = file_contents(checkpoint, checkpoint.state_dict())
    return {content.name: content.words for content in found}


def test_the_sample_holds_classes_preprocessing_optimizer_epoch_and_accuracy() -> None:
    assert contents_of(SAMPLES["early"].path) == {
        "state_dict": "338 tensors, 1.44\u202fMB",
        "classes": "zero … nine (10)",
        "preprocessing": "64\u202fpx, bilinear, mean/std 0.5",
        "optimizer": "lr 0.199 and 0.0199, 2 groups, 114 tensors, 72.8\u202fkB",
        "epoch": "2",
        "accuracy": "85.83",
    }


def test_what_a_file_does_not_hold_has_no_line(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pth")
    assert contents_of(tmp_path / "a.pth") == {"state_dict": "1 tensor, 8\u202fB"}


def test_few_classes_are_told_in_full(tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.ones(2)}, "classes": ["cat", "dog"]}, tmp_path / "a.pth")
    assert contents_of(tmp_path / "a.pth")["classes"] == "cat, dog"


def test_what_lies_beside_the_file_is_not_in_it(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "a.pth")
    (tmp_path / "config.json").write_text('{"id2label": {"0": "cat", "1": "dog"}}')
    assert contents_of(tmp_path / "a.pth") == {"state_dict": "1 tensor, 8\u202fB"}


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"size": 224}, "224\u202fpx"),
        ({"size": [192, 256]}, "192 × 256\u202fpx"),
        ({"mean": [0.5], "std": [0.25]}, "mean 0.5, std 0.25"),
        ({"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}, "mean 0.1 0.2 0.3, std 1"),
        ({"interpolation": "bicubic", "size": 32}, "32\u202fpx, bicubic"),
        ({"interpolation": "bicubic"}, "bicubic"),
        ({"interpolation": "random"}, ""),
        ({}, ""),
    ],
)
def test_only_what_the_file_states_of_its_preprocessing_is_told(
    stated: dict[str, object], words: str
) -> None:
    assert preprocessing_words({"preprocessing": stated}) == words
