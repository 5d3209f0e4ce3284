"""`loupe compare` of files whose tensors are the same, and whose other contents may not be."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.core.cli.process import loupe
from tests.core.compare.damaged_files import overwritten

pytestmark = pytest.mark.slow

BODY = np.arange(2500, dtype=np.float32).reshape(50, 50)


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


def position_in_pickle(path: Path, words: bytes) -> int:
    """Where in a file's data.pkl some words are."""
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
        return archive.read(name).index(words)


def first_line(*arguments: object) -> str:
    return loupe("compare", *arguments).stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"body": BODY}, {"body": BODY * 0}),
        ({"small": np.ones(3)}, {"small": np.zeros(3)}),
        ([BODY, BODY], [BODY, -BODY]),
        ({"x": BODY}, {"x": BODY.astype(np.float64)}),
        ({"x": BODY}, {"x": BODY.reshape(-1)}),
        ({"x": BODY}, {}),
        ({}, {"x": BODY}),
        ({"x": np.array(["2024-01-01"], "M8[D]")}, {"x": np.array(["2024-01-02"], "M8[D]")}),
        (np.random.RandomState(0).get_state(), np.random.RandomState(1).get_state()),
    ],
    ids=[
        "in a dict", "small", "in a list", "dtype", "shape", "only in A", "only in B", "dates",
        "random state",
    ],
)  # fmt: skip
def test_another_array_is_told_first_and_in_the_exit_status(
    tmp_path: Path, a: object, b: object
) -> None:
    files = [
        saved(tmp_path / f"{name}.pt", {"state_dict": {"w": torch.ones(3)}, "other": other})
        for name, other in (("a", a), ("b", b))
    ]
    told = loupe("compare", *files)
    assert told.returncode == 1
    assert told.stdout.startswith("Besides the tensors, ")
    assert "The one tensor has the same bytes" in told.stdout.splitlines()[0]
    assert "dentical" not in told.stdout


@pytest.mark.parametrize("option", ["--numbers", "--verify", "--atol=1e-3"])
def test_no_option_passes_over_an_array(tmp_path: Path, option: str) -> None:
    a = saved(tmp_path / "a.pt", {"w": torch.ones(3), "x": BODY})
    b = saved(tmp_path / "b.pt", {"w": torch.ones(3), "x": BODY + 1})
    told = loupe("compare", a, b, option)
    assert told.returncode == 1
    assert told.stdout.startswith("Besides the tensors, the numpy array x differs from A to B. ")


def test_arrays_in_another_order_of_bytes_are_the_same(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.pt", {"w": torch.ones(3), "x": BODY, "y": BODY})
    b = saved(tmp_path / "b.pt", {"w": torch.ones(3), "x": np.asfortranarray(BODY), "y": BODY})
    told = loupe("compare", a, b)
    assert (told.returncode, told.stdout.split(":")[0]) == (0, "Identical")


def test_a_tolerance_holds_for_arrays_too(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.pt", {"w": torch.ones(3), "x": BODY})
    b = saved(tmp_path / "b.pt", {"w": torch.ones(3), "x": (BODY * 1.0001).astype(np.float32)})
    assert loupe("compare", a, b).returncode == 1
    assert loupe("compare", a, b, "--rtol", "1e-3").returncode == 0


def test_json_names_the_arrays(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.pt", {"w": torch.ones(3), "x": BODY, "y": BODY, "z": BODY})
    b = saved(tmp_path / "b.pt", {"w": torch.ones(3), "x": -BODY, "y": BODY, "new": BODY + 1})
    document = json.loads(loupe("compare", a, b, "--json").stdout)
    assert document["same"] is False
    assert document["arrays"] == {
        "changed": ["x"], "only_a": ["z"], "only_b": ["new"], "unread": [],
    }  # fmt: skip
    assert document["sentence"].startswith(
        "Besides the tensors, the numpy array x differs from A to B; the numpy array z only in A; "
        "the numpy array new only in B. "
    )
    inspected = json.loads(loupe("inspect", a, "--json").stdout)
    assert inspected["arrays"][0] == {
        "path": "x", "shape": [50, 50], "dtype": "float32", "nbytes": 10000,
    }  # fmt: skip


def test_gits_text_has_a_line_for_each_array(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.pt", {"w": torch.ones(3), "x": BODY})
    b = saved(tmp_path / "b.pt", {"w": torch.ones(3), "x": -BODY})
    one, other = (loupe("text", path).stdout.splitlines() for path in (a, b))
    differing = [(x, y) for x, y in zip(one, other, strict=True) if x != y]
    assert [x.rpartition(":")[0] for x, _ in differing] == ["x  float32  50 × 50  crc32"]


def test_identical_is_not_said_where_other_values_differ(tmp_path: Path) -> None:
    a = saved(tmp_path / "a.pt", {"state_dict": {"w": torch.ones(3)}, "epoch": 1, "lr": 0.1})
    b = saved(tmp_path / "b.pt", {"state_dict": {"w": torch.ones(3)}, "epoch": 2, "lr": 0.2})
    told = loupe("compare", a, b)
    assert told.returncode == 0
    assert told.stdout.splitlines()[0] == (
        "The one tensor has the same bytes; besides them, epoch and lr differ."
    )
    assert first_line(a, a) == "Identical: the one tensor has the same bytes."


@pytest.mark.parametrize("part", ["data/1", "data.pkl"])
def test_damage_outside_of_the_compared_tensors_comes_first(tmp_path: Path, part: str) -> None:
    weights = {"m": {"w": torch.ones(3)}, "optimizer": {"state": {0: {"exp_avg": torch.ones(9)}}}}
    a = saved(tmp_path / "a.pt", {**weights, "note": "some words"})
    # In the pickle, letters of a text are overwritten, which leave it readable.
    at = 0 if part != "data.pkl" else position_in_pickle(a, b"words")
    b = overwritten(a, tmp_path / "b.pt", part, at=at)
    told = loupe("compare", a, b, "--verify")
    assert told.returncode == 1
    name = "optimizer.state.0.exp_avg" if part == "data/1" else "a/data.pkl"
    assert told.stdout.startswith(
        f"Damaged besides the compared tensors: {name} in B does not have the checksum that was "
        "saved. "
    )
    assert "dentical" not in told.stdout
