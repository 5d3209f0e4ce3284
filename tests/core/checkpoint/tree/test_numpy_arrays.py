"""Numpy arrays beside the tensors of a file: no weights for PyTorch, and not passed over."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from core.checkpoint import Checkpoint, open_checkpoint

BODY = np.arange(2500, dtype=np.float32).reshape(50, 50)


class Scaler:
    """An object that keeps what it learned as arrays."""

    def __init__(self) -> None:
        self.mean_ = BODY[0]


def opened(folder: Path, value: object) -> Checkpoint:
    torch.save(value, folder / "m.pt")
    return open_checkpoint(folder / "m.pt")


def array_note(checkpoint: Checkpoint) -> str:
    (note,) = [note for note in checkpoint.notes if "numpy" in note]
    return note.replace("\u202f", " ")


def test_an_array_among_the_tensors_of_a_dict_is_named(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {"head.weight": torch.ones(2, 3), "body.weight": BODY})
    assert list(checkpoint.state_dict()) == ["head.weight"]
    assert array_note(checkpoint) == (
        "1 numpy array stands beside the tensors (10.0 kB): body.weight, 50 × 50 float32. It is no "
        "part of a state_dict."
    )
    (array,) = checkpoint.arrays()
    assert (array.path, array.dtype, array.shape) == ("body.weight", "float32", (50, 50))


@pytest.mark.parametrize(
    ("beside", "paths"),
    [
        ({"a": BODY, "b": BODY[0]}, ["other.a", "other.b"]),
        ([BODY, BODY[0]], ["other.0", "other.1"]),
        ((BODY, [BODY[0]]), ["other.0", "other.1.0"]),
        ({"deep": {1: BODY}}, ["other.deep.1"]),
        (Scaler(), ["other.mean_"]),
        (np.random.RandomState(0).get_state(), ["other.1"]),
        ({"flat": BODY, "again": BODY.T}, ["other.flat", "other.again"]),
        (np.array(["2024-01-01"], dtype="datetime64[D]"), ["other"]),
    ],
    ids=["dict", "list", "tuple", "deep", "object", "random state", "fortran", "dates"],
)
def test_arrays_beside_a_state_dict_are_all_found(
    tmp_path: Path, beside: object, paths: list[str]
) -> None:
    checkpoint = opened(tmp_path, {"state_dict": {"w": torch.ones(3)}, "other": beside})
    assert [array.path for array in checkpoint.arrays()] == paths
    assert array_note(checkpoint).startswith(f"{len(paths)} numpy array")


def test_an_array_that_two_dicts_share_is_found_in_both(tmp_path: Path) -> None:
    shared = {"state_dict": {"w": torch.ones(3)}, "a": {"x": BODY}, "b": {"x": BODY}}
    assert [array.path for array in opened(tmp_path, shared).arrays()] == ["a.x", "b.x"]


def test_a_dict_that_is_shared_a_million_times_is_searched_once(tmp_path: Path) -> None:
    deep: list[object] = [BODY]
    for _ in range(20):
        deep = [deep, deep]
    checkpoint = opened(tmp_path, {"w": torch.ones(3), "deep": deep})
    assert len(list(checkpoint.arrays())) == 1


def test_of_many_arrays_the_first_are_named(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {"w": torch.ones(3), "log": [np.ones(4) for _ in range(9)]})
    note = array_note(checkpoint)
    assert note.startswith("9 numpy arrays stand beside the tensors (288 B): log.0, 4 float64; ")
    assert note.endswith("log.2, 4 float64; and 6 more. They are no part of a state_dict.")


def test_arrays_that_are_the_weights_stand_beside_nothing(tmp_path: Path) -> None:
    with (tmp_path / "m.pkl").open("wb") as file:
        pickle.dump({"model": {"w": BODY}, "epoch": 3}, file)
    for checkpoint in (
        open_checkpoint(tmp_path / "m.pkl"),
        opened(tmp_path, {"model": {"w": BODY}, "rng_state": torch.ones(5)}),
    ):
        assert list(checkpoint.state_dict()) == ["w"]
        assert not list(checkpoint.arrays())
        assert not [note for note in checkpoint.notes if "numpy" in note]


def test_texts_are_metadata_without_a_note(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path, {"w": torch.ones(3), "classes": np.array(["cat", "dog"])})
    assert checkpoint.metadata["classes"] == ["cat", "dog"]
    assert checkpoint.notes == ()
