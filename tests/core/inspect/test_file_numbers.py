"""The six numbers of a file."""

import os
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.checkpoint import open_checkpoint
from core.inspect import FileNumber, file_numbers
from core.server import SAMPLES


def numbers_of(path: Path) -> tuple[FileNumber, ...]:
    checkpoint = open_checkpoint(path)
    return file_numbers(checkpoint, checkpoint.state_dict())


def test_the_sample_has_six_numbers() -> None:
    assert [(each.value, each.words, each.tone) for each in numbers_of(SAMPLES["early"].path)] == [
        ("338", "tensors", ""),
        ("360.1\u202fk", "parameters", ""),
        ("1.66\u202fMB", "file", ""),
        ("float32", ">\u202f99.9\u202f% of bytes", ""),
        ("epoch 2", "accuracy 85.83", ""),
        ("0", "calls that could run code", "good"),
    ]


def test_a_file_that_states_no_epoch_has_no_number_for_it(tmp_path: Path) -> None:
    save_file({"w": torch.ones(3, dtype=torch.float16)}, tmp_path / "a.safetensors")
    assert [(each.value, each.words) for each in numbers_of(tmp_path / "a.safetensors")] == [
        ("1", "tensor"),
        ("3", "parameters"),
        (f"{(tmp_path / 'a.safetensors').stat().st_size}\u202fB", "file"),
        ("float16", "100\u202f% of bytes"),
        ("0", "calls that could run code"),
    ]


def test_a_metric_without_an_epoch_is_told_alone(tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.ones(3)}, "best_acc1": 76.13}, tmp_path / "a.pth")
    assert FileNumber("76.13", "best_acc1") in numbers_of(tmp_path / "a.pth")


def test_the_dtype_is_the_one_with_most_bytes_not_most_tensors(tmp_path: Path) -> None:
    tensors = {"w": torch.ones(30), "a": torch.ones(1).half(), "b": torch.ones(1).half()}
    torch.save(tensors, tmp_path / "a.pth")
    assert FileNumber("float32", "96.8\u202f% of bytes") in numbers_of(tmp_path / "a.pth")


class Call:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


class Own:
    pass


@pytest.mark.parametrize(
    ("beside", "number"),
    [
        (Call(), ("1", "name that would run code", "danger")),
        (Own(), ("1", "unknown class, kept inert", "doubt")),
        (Namespace(lr=0.1), ("0", "calls that could run code", "good")),
        ([Call(), Own()], ("1", "name that would run code", "danger")),
    ],
)
def test_a_zero_is_said_only_where_nothing_could_run_code(
    tmp_path: Path, beside: object, number: tuple[str, str, str]
) -> None:
    torch.save({"w": torch.ones(3), "beside": beside}, tmp_path / "a.pth")
    last = numbers_of(tmp_path / "a.pth")[-1]
    assert (last.value, last.words, last.tone) == number
    assert last.detail
