"""What a training saves beside its weights opens, however much of it there is."""

import json
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from core.checkpoint import open_checkpoint
from core.checkpoint.pickles.unpickler import PickleTooLarge
from core.errors import CheckpointError

WEIGHTS = {"w": torch.ones(2)}
slow = pytest.mark.slow


def transitions(steps: int) -> list[object]:
    return [(np.zeros(4, np.float32), 1, 0.5, np.ones(4, np.float32)) for _ in range(steps)]


def memories(steps: int) -> list[object]:
    return [{"state": torch.zeros(4), "action": 1, "reward": 0.5} for _ in range(steps)]


def fractions(steps: int) -> list[float]:
    chance = random.Random(1)
    return [chance.random() for _ in range(steps)]


def vocabulary(words: int) -> dict[str, int]:
    return {f"word{i:07d}": i for i in range(words)}


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (vocabulary, 400_000),
        (transitions, 25_000),
        (memories, 10_000),
        (lambda number: 10**number, 5_000),
        pytest.param(vocabulary, 1_000_000, marks=slow),
        pytest.param(fractions, 2_500_000, marks=slow),
        pytest.param(transitions, 100_000, marks=slow),
        pytest.param(memories, 100_000, marks=slow),
    ],
    ids=["words", "arrays", "tensors", "digits", "more words", "fractions", "more arrays", "more"],
)
def test_what_lies_beside_the_weights_is_no_attack(
    tmp_path: Path, make: Callable[[int], object], number: int
) -> None:
    torch.save({"model": WEIGHTS, "beside": make(number)}, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert checkpoint.best == "model"
    assert list(checkpoint.state_dict()) == ["w"]


@pytest.mark.parametrize(
    "beside",
    [vocabulary(250_000), list(range(700_000)), ["x" * 1000 + str(i) for i in range(7_000)]],
    ids=["words", "numbers", "texts"],
)
def test_what_lies_beside_the_arrays_of_a_plain_pickle_is_none_either(
    tmp_path: Path, beside: object
) -> None:
    with (tmp_path / "m.pkl").open("wb") as file:
        pickle.dump({"w": np.ones(3), "beside": beside}, file)
    assert list(open_checkpoint(tmp_path / "m.pkl").state_dict()) == ["w"]


@slow
def test_a_plain_pickle_of_many_arrays_opens(tmp_path: Path) -> None:
    with (tmp_path / "m.pkl").open("wb") as file:
        pickle.dump({f"w{i}": np.ones(5, np.float32) for i in range(40_000)}, file)
    assert len(open_checkpoint(tmp_path / "m.pkl").state_dict()) == 40_000


def safetensors(header: dict[str, object], nbytes: int) -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(nbytes)


def described(start: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": [1], "data_offsets": [start, start + 4]}


@slow
def test_safetensors_of_300_000_tensors_open(tmp_path: Path) -> None:
    header: dict[str, object] = {f"layer.{i}.weight": described(4 * i) for i in range(300_000)}
    (tmp_path / "m.safetensors").write_bytes(safetensors(header, 1_200_000))
    assert len(open_checkpoint(tmp_path / "m.safetensors").state_dict()) == 300_000


def test_safetensors_with_long_metadata_open(tmp_path: Path) -> None:
    header = {"__metadata__": {"vocabulary": "x" * 40_000_000}, "w": described(0)}
    (tmp_path / "m.safetensors").write_bytes(safetensors(header, 4))
    assert list(open_checkpoint(tmp_path / "m.safetensors").state_dict()) == ["w"]


def test_a_limit_of_loupe_s_own_is_told_as_one(tmp_path: Path) -> None:
    with (tmp_path / "m.pkl").open("wb") as file:
        file.write(b"\x80\x02(" + b"]" * 4_000_000 + b"1N.")
    with pytest.raises(PickleTooLarge) as refused:
        open_checkpoint(tmp_path / "m.pkl")
    assert "The file has more than Loupe reads: its pickle makes more than" in refused.value.problem
    assert refused.value.problem.endswith("the file may be sound.")


def test_a_mask_that_is_expanded_beyond_the_limit_is_told_so(tmp_path: Path) -> None:
    mask = torch.zeros(1, dtype=torch.bool).expand(40_000, 40_000)
    torch.save({**WEIGHTS, "mask": mask}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match="more than Loupe reads: the tensor mask expands"):
        open_checkpoint(tmp_path / "m.pth")
