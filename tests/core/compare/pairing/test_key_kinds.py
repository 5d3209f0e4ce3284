"""Keys that read alike in two files and have different types are different keys."""

import json
import struct
from enum import Enum, IntEnum
from pathlib import Path

import pytest
import torch

from core.checkpoint import StateDict, open_checkpoint
from core.compare import compare
from core.compare.pairing import distinct_keys, pair
from core.compare.verdict import verdict
from tests.core.cli.process import loupe


class Color(IntEnum):
    RED = 1


def tensor(value: float = 0) -> torch.Tensor:
    return torch.arange(8.0) + value


def opened(folder: Path, name: str, tree: object) -> StateDict:
    torch.save(tree, folder / name)
    return open_checkpoint(folder / name).state_dict()


KEYS = [
    (1, "1"),
    (1.0, "1.0"),
    (True, "True"),
    (None, "None"),
    (b"w", "b'w'"),
    ((0, 1), "(0, 1)"),
    (1, True),
    (1, 1.0),
    (Color.RED, 1),
]


@pytest.mark.parametrize(("in_a", "in_b"), KEYS)
def test_keys_of_two_types_are_two_keys(tmp_path: Path, in_a: object, in_b: object):
    a = opened(tmp_path, "a.pth", {in_a: tensor(), "w": tensor(1)})
    b = opened(tmp_path, "b.pth", {in_b: tensor(), "w": tensor(1)})

    a, b = distinct_keys(a, b)
    comparison = compare(a, b, pair(a, b))

    assert set(a) != set(b)
    assert "Identical" not in verdict(comparison.rows).sentence


@pytest.mark.parametrize("key", [key for pair_of_keys in KEYS for key in pair_of_keys])
def test_the_same_keys_are_the_same(tmp_path: Path, key: object):
    a = opened(tmp_path, "a.pth", {key: tensor()})
    b = opened(tmp_path, "b.pth", {key: tensor()})

    assert [*map(list, distinct_keys(a, b))] == [[*a], [*a]]


def deep(value: object) -> object:
    for _ in range(6):
        value = (value,)
    return value


class Long(Enum):
    A = "x" * 100 + "1"
    B = "x" * 100 + "2"


NAN = struct.unpack("<d", (0x7FF8000000000001).to_bytes(8, "little"))[0]

CUT_SHORT = {
    "tuple": ((*[0] * 99, 1), (*[0] * 99, 2)),
    "type in a tuple": ((*[0] * 99, 1), (*[0] * 99, True)),
    "bytes": (b"a" * 300 + b"1", b"a" * 300 + b"2"),
    "bytes in a tuple": ((b"a" * 300 + b"1",), (b"a" * 300 + b"2",)),
    "text in a tuple": (("a" * 500 + "1",), ("a" * 500 + "2",)),
    "deep tuple": (deep(1), deep(2)),
    "enum": (Long.A, Long.B),
    "frozenset": (frozenset(range(100)), frozenset([*range(99), 100])),
    "number": (1 << 20_000, (1 << 20_000) + 1),
    "NaN": (float("nan"), NAN),
}


@pytest.mark.parametrize("beside", [{}, {"z": tensor(1)}], ids=["alone", "beside text"])
@pytest.mark.parametrize("pair_of_keys", CUT_SHORT.values(), ids=CUT_SHORT)
def test_keys_whose_names_are_cut_short_are_two_keys(
    tmp_path: Path, pair_of_keys: tuple[object, object], beside: dict[object, torch.Tensor]
):
    in_a, in_b = pair_of_keys
    a = opened(tmp_path, "a.pth", {in_a: tensor(), **beside})
    b = opened(tmp_path, "b.pth", {in_b: tensor(), **beside})
    again = opened(tmp_path, "c.pth", {in_a: tensor(), **beside})

    assert [*map(list, distinct_keys(a, again))] == [[*a], [*a]]
    a, b = distinct_keys(a, b)

    assert set(a) != set(b)
    assert "digest" in next(iter(a))
    assert "Identical" not in verdict(compare(a, b, pair(a, b)).rows).sentence


def test_a_number_and_a_text_are_named_in_rows_and_json(tmp_path: Path):
    torch.save({1: tensor()}, tmp_path / "a.pth")
    torch.save({"1": tensor()}, tmp_path / "b.pth")

    text = loupe("compare", tmp_path / "a.pth", tmp_path / "b.pth")
    document = loupe("compare", tmp_path / "a.pth", tmp_path / "b.pth", "--json")

    assert text.returncode == document.returncode == 1
    assert "Identical" not in text.stdout
    assert "1 (int) → 1" in text.stdout
    (row,) = json.loads(document.stdout)["rows"]
    assert (row["a"]["key"], row["b"]["key"], row["state"]) == ("1 (int)", "1", "renamed")


def test_a_list_is_no_dict(tmp_path: Path):
    a = opened(tmp_path, "a.pth", [tensor(), tensor(1)])
    b = opened(tmp_path, "b.pth", {"0": tensor(), "1": tensor(1)})

    named, _ = distinct_keys(a, b)

    assert [*named] == ["0 (in a list)", "1 (in a list)"]


def test_an_optimizers_state_by_number_and_by_name(tmp_path: Path):
    def state(key: object) -> object:
        return {"optimizer": {"state": {key: {"exp_avg": tensor()}}, "param_groups": []}}

    a = opened(tmp_path, "a.pth", state(0))
    b = opened(tmp_path, "b.pth", state("0"))

    assert [[*side] for side in distinct_keys(a, b)] == [["0.exp_avg (int)"], ["0.exp_avg"]]
