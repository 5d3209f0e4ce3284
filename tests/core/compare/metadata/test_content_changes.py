"""Whatever differs besides the tensors is found, also what the metadata does not show."""

import copy
import datetime
import enum
import fractions
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core.checkpoint import Checkpoint, open_checkpoint
from core.compare import compare
from core.compare.metadata import change_words, compare_arrays, content_changes, found_beside
from core.compare.verdict import verdict
from tests.core.cli.process import loupe
from tests.core.compare.damaged_files import overwritten


class Color(enum.Enum):
    RED = 1
    BLUE = 2


def masked(*hidden: bool) -> object:
    return np.ma.masked_array(np.arange(3.0), mask=list(hidden))


def nested(depth: int, value: object) -> object:
    for _ in range(depth):
        value = {"in": value}
    return value


def record(*names: str) -> np.dtype:
    return np.dtype([(name, np.float32) for name in names])


def counting(last: int) -> list[int]:
    return [*range(10_000), last]


def looped(value: object) -> list[object]:
    loop: list[object] = [value]
    loop.append(loop)
    return loop


DIFFERENT = {
    "far down a list": (counting(1), counting(2)),
    "far down a list of texts": ([*"a" * 6000, "b"], [*"a" * 6000, "c"]),
    "the end of a long text": ("x" * 30_000 + "a", "x" * 30_000 + "b"),
    "bytes": (b"\0" * 1000 + b"a", b"\0" * 1000 + b"b"),
    "long bytes": (b"\0" * 100_000 + b"a", b"\0" * 100_000 + b"b"),
    "a bytearray": (bytearray(b"\0" * 9000 + b"a"), bytearray(b"\0" * 9000 + b"b")),
    "a masked array's mask": (masked(True, False, True), masked(True, False, False)),
    "an array of objects": (
        np.array([None, *range(99), 1], dtype=object),
        np.array([None, *range(99), 2], dtype=object),
    ),
    "an array's elements": (np.arange(1000.0), np.arange(1000.0) + (np.arange(1000) == 999)),
    "dates in other units": (
        np.zeros(200, dtype="datetime64[s]"),
        np.zeros(200, dtype="datetime64[ms]"),
    ),
    "a record's fields": (np.zeros(200, dtype=record("x", "y")), np.zeros(200, record("y", "x"))),
    "deep down": (nested(40, 1), nested(40, 2)),
    "a number of 5,000 digits": (10**5000 + 1, 10**5000 + 2),
    "a number of 30,000 bits": (2**30_000 + 1, 2**30_000 + 2),
    "the type of a key": ({1: "a"}, {"1": "a"}),
    "the type of a key in a key": ({(1, 2): "a"}, {(1, "2"): "a"}),
    "a key of bytes": ({b"a": 1}, {"b'a'": 1}),
    "a long key": ({"k" * 500 + "a": 1}, {"k" * 500 + "b": 1}),
    "a tuple and a list": ((1, 2), [1, 2]),
    "a set and a list": ({1, 2}, [1, 2]),
    "a set's members": (set(range(9000)), {*range(8999), -1}),
    "a complex number and its text": (1j, "1j"),
    "infinity and its text": (float("inf"), "inf"),
    "a class and its name": (torch.float16, "torch.float16"),
    "a dtype": (np.dtype("f4"), np.dtype("f8")),
    "members of an Enum": (Color.RED, Color.BLUE),
    "an object's argument": (datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)),
    "an object's text": (fractions.Fraction(1, 3), fractions.Fraction(1, 7)),
    "what contains itself": (looped(counting(1)), looped(counting(2))),
    "the order of a list": ([1, *range(100)], [0, 1, *range(1, 100)]),
}


def two(folder: Path, a: object, b: object) -> tuple[Checkpoint, Checkpoint]:
    weights = {"w": torch.arange(8.0)}
    for name, value in (("a.pth", a), ("b.pth", b)):
        torch.save({"state_dict": weights, "extra": value}, folder / name)
    return open_checkpoint(folder / "a.pth"), open_checkpoint(folder / "b.pth")


@pytest.mark.parametrize(("a", "b"), DIFFERENT.values(), ids=DIFFERENT)
def test_no_difference_stays_unseen(tmp_path: Path, a: object, b: object):
    two(tmp_path, a, b)

    first, *_ = loupe("compare", tmp_path / "a.pth", tmp_path / "b.pth").stdout.splitlines()

    assert "Identical" not in first
    assert "extra" in first


@pytest.mark.parametrize("value", [pair[0] for pair in DIFFERENT.values()], ids=DIFFERENT)
def test_the_same_is_the_same(tmp_path: Path, value: object):
    a, b = two(tmp_path, value, copy.deepcopy(value))

    assert content_changes(a, b).changes == ()


def words(a: Checkpoint, b: Checkpoint) -> dict[str, str]:
    return {".".join(change.path): change_words(change) for change in content_changes(a, b).changes}


def test_the_place_and_both_values_are_named(tmp_path: Path):
    a, b = two(tmp_path, {"loss": [0.5] * 1000}, {"loss": [0.5] * 998 + [0.25, 0.5]})

    assert words(a, b) == {"extra.loss.998": "0.5 → 0.25, ÷ 2"}


def test_keys_of_two_types_are_one_removed_and_one_added(tmp_path: Path):
    a, b = two(tmp_path, {1: "x", "n": 1}, {"1": "x", "n": 1})

    assert words(a, b) == {"extra.1 (int)": "removed: x", "extra.1": "added: x"}


def test_what_has_no_text_of_its_own_is_described(tmp_path: Path):
    a, b = two(tmp_path, {"t": (1, 2), "y": b"a" * 99}, {"t": [1, 2], "y": b"b" * 99})

    changes = words(a, b)

    assert changes["extra.t"] == "a tuple of 2 values → a list of 2 values"
    before, after = changes["extra.y"].split(" → ")
    assert before.startswith("bytes: 99, digest ")
    assert after.startswith("bytes: 99, digest ")
    assert before != after


def test_what_the_metadata_shows_is_told_once(tmp_path: Path):
    a, b = two(tmp_path, {"epoch": 1, "names": [*"abc"]}, {"epoch": 2, "names": [*"xabc"]})

    assert words(a, b) == {"extra.epoch": "1 → 2, +1", "extra.names.0": "added: x"}


def test_an_option_in_a_whole_model_is_found(tmp_path: Path):
    for name, p in (("a.pth", 0.1), ("b.pth", 0.5)):
        torch.manual_seed(0)
        torch.save(nn.Sequential(nn.Linear(3, 3), nn.Dropout(p)), tmp_path / name)
    a, b = open_checkpoint(tmp_path / "a.pth"), open_checkpoint(tmp_path / "b.pth")

    assert words(a, b) == {"_modules.1.p": "0.1 → 0.5, × 5"}


def test_the_versions_of_modules_are_compared_where_both_have_them(tmp_path: Path):
    state = nn.BatchNorm1d(3).state_dict()
    other = OrderedDict(state)
    other._metadata = OrderedDict({"": {"version": 1}})
    for name, value in (("a.pth", state), ("b.pth", other), ("plain.pth", dict(state))):
        torch.save(value, tmp_path / name)
    a, b, plain = (open_checkpoint(tmp_path / f"{name}.pth") for name in ("a", "b", "plain"))

    assert words(a, b) == {"_metadata.": "2 → 1, −1"}
    assert words(a, plain) == {}


def test_a_bound_leaves_long_bytes_unread_and_says_so(tmp_path: Path):
    number = 17 << 20  # in a shorter pickle they are in memory
    a, b = two(tmp_path, b"a" * number, b"b" * number)

    bounded = content_changes(a, b, number - 1)

    assert (bounded.unread, bounded.changes) == (number, ())
    assert [change.path for change in content_changes(a, b, number).changes] == [("extra",)]


def test_another_state_dict_that_differs_is_named(tmp_path: Path):
    weights = {"w": torch.arange(8.0)}
    for name, value in (("a.pth", 0.0), ("b.pth", 1.0)):
        optimizer = {"state": {0: {"exp_avg": torch.full((8,), value)}}, "param_groups": []}
        torch.save({"state_dict": weights, "optimizer": optimizer}, tmp_path / name)

    result = loupe("compare", tmp_path / "a.pth", tmp_path / "b.pth")

    first, *_ = result.stdout.splitlines()
    assert first == (
        "The one tensor has the same bytes; besides them, the state_dict optimizer.state differs."
    )
    assert "note: The other state_dict optimizer.state: the one tensor changed." in result.stdout
    assert result.returncode == 0


class Net(nn.Module):
    def __init__(self, anchor: float = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(2, 2)
        self.register_buffer("grid", torch.full((3,), anchor), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Doubled(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * 2


def record_names(folder: Path, a: str, b: str) -> tuple[str, ...]:
    opened = (open_checkpoint(folder / name) for name in (a, b))
    return content_changes(*opened).records.changed


def test_a_tensor_that_no_state_dict_has_is_compared(tmp_path: Path):
    for name, anchor in (("a.pth", 0), ("b.pth", 1), ("c.pth", 0)):
        torch.save(Net(anchor), tmp_path / name)

    assert record_names(tmp_path, "a.pth", "b.pth") == ("a tensor in no state_dict",)
    assert record_names(tmp_path, "a.pth", "c.pth") == ()


def test_the_graph_of_a_program_is_compared(tmp_path: Path):
    for name, model in (("a.pt2", Net()), ("b.pt2", Doubled()), ("c.pt2", Net())):
        torch.export.save(torch.export.export(model, (torch.ones(1, 2),)), tmp_path / name)

    assert "models/model.json" in record_names(tmp_path, "a.pt2", "b.pt2")
    first, *_ = loupe("compare", tmp_path / "a.pt2", tmp_path / "b.pt2").stdout.splitlines()
    assert "models/model.json" in first


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_the_code_of_torchscript_is_compared(tmp_path: Path):
    for name, model in (("a.pt", Net()), ("b.pt", Doubled())):
        torch.jit.script(model).save(tmp_path / name)

    (name,) = record_names(tmp_path, "a.pt", "b.pt")
    assert name.startswith("code/__torch__/")
    assert record_names(tmp_path, "a.pt", "a.pt") == ()


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_code_that_was_overwritten_differs_though_its_stored_checksum_is_the_same(tmp_path: Path):
    torch.jit.script(Net()).save(tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        (path,) = [name for name in archive.namelist() if name.endswith("test_content_changes.py")]
    overwritten(tmp_path / "a.pt", tmp_path / "b.pt", path)

    told = loupe("compare", tmp_path / "a.pt", tmp_path / "b.pt")

    assert told.returncode == 1
    first, *_ = told.stdout.splitlines()
    assert first.startswith("Damaged besides the compared tensors: code/__torch__/")
    assert "; besides them, code/__torch__/" in first
    assert "dentical" not in first


def test_a_graph_that_was_overwritten_differs_though_its_stored_checksum_is_the_same(
    tmp_path: Path,
):
    torch.export.save(torch.export.export(Net(), (torch.ones(1, 2),)), tmp_path / "a.pt2")
    overwritten(tmp_path / "a.pt2", tmp_path / "b.pt2", "models/model.json")
    a, b = (open_checkpoint(tmp_path / name) for name in ("a.pt2", "b.pt2"))

    found = content_changes(a, b).records
    unread = content_changes(a, b, most_of_records=0).records

    assert found.changed == ("models/model.json",)
    assert found.damaged == ("models/model.json in B",)
    assert unread.changed == unread.damaged == ()
    assert "models/model.json" in unread.by_checksum


def test_records_that_are_the_same_by_checksum_are_not_called_identical(tmp_path: Path):
    torch.export.save(torch.export.export(Net(), (torch.ones(1, 2),)), tmp_path / "a.pt2")
    a = open_checkpoint(tmp_path / "a.pt2")
    rows = compare(a.state_dict(), a.state_dict()).rows
    read, trusted = (
        found_beside(compare_arrays(a, a)[0], (), content_changes(a, a, most_of_records=most))
        for most in (None, 0)
    )

    assert verdict(rows, beside=read).sentence.startswith("Identical")
    sentence = verdict(rows, beside=trusted).sentence
    assert "dentical" not in sentence
    assert "models/model.json" in sentence
    assert "the same by checksum" in sentence
