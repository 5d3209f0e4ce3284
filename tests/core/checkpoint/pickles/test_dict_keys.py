"""Whatever Python accepts as a dict key is read, and keys that print alike stay apart."""

import enum
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError
from tests.core.checkpoint.files_by_hand import with_tensor, zip_file
from tests.core.checkpoint.same_tensors import Save, both_formats


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def stepped(make: Any, **options: float) -> torch.optim.Optimizer:
    model = nn.Linear(3, 2)
    optimizer: torch.optim.Optimizer = make(model.parameters(), **options)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return optimizer


@both_formats
@pytest.mark.parametrize(
    ("make", "options", "keys"),
    [
        (torch.optim.Adam, {}, ["step", "exp_avg", "exp_avg_sq"]),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, ["momentum_buffer"]),
    ],
    ids=["adam", "sgd"],
)
def test_a_whole_optimizer_has_its_tensors_beside_the_model(
    tmp_path: Path, save: Save, format: str, make: Any, options: dict[str, float], keys: list[str]
) -> None:
    """Its state is a dict whose keys are the parameters themselves."""
    optimizer = stepped(make, **options)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    weights = nn.Linear(3, 2).state_dict()
    save({"model": weights, "optimizer": optimizer, "scheduler": scheduler}, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert checkpoint.best == "model"
    assert list(checkpoint.state_dict()) == list(weights)
    state = checkpoint.state_dict("optimizer.state")
    assert list(state) == [f"{number}.{key}" for number in (0, 1) for key in keys]


KEYS: dict[str, list[tuple[Hashable, str]]] = {
    "1": [(1, "1 (int)"), ("1", "1")],
    "None": [(None, "None (NoneType)"), ("None", "None")],
    "1.5": [("1.5", "1.5"), (1.5, "1.5 (float)")],
    "bytes": [(b"a", "b'a' (bytes)"), ("b'a'", "b'a'")],
    "tuple": [((1, 2), "(1, 2) (tuple)"), ("(1, 2)", "(1, 2)")],
    "taken": [(1, "1 (int)"), ("1", "1"), ("1 (int)", "1 (int) (2)")],
    "enum": [
        (Colour.RED, f"<{__name__}.Colour(1)>"),
        (Colour.BLUE, f"<{__name__}.Colour(2)>"),
    ],
    "frozenset": [(frozenset("ba"), "frozenset({'a', 'b'})"), (frozenset(), "frozenset({})")],
    "long tuple": [(tuple(range(20)), f"({', '.join(map(str, range(20)))})")],
    "very long tuples": [
        ((*range(100), 1), f"({', '.join(map(str, range(64)))}, …)"),
        ((*range(100), 2), f"({', '.join(map(str, range(64)))}, …) (2)"),
    ],
    "frozenset in a tuple": [
        ((frozenset({1}), b"x", 1.5, None), "(frozenset({1}), b'x', 1.5, None)"),
    ],
    "numpy's dtypes": [(np.dtype("f4"), "numpy dtype f4"), (np.dtype("f8"), "numpy dtype f8")],
    "big numbers": [(1 << 70, hex(1 << 70)), (1 << 9000, "number of 9001 bits")],
    "complex": [(1j, "1j")],
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_tensors_under_unusual_keys_each_have_a_name(tmp_path: Path, name: str) -> None:
    tensors = {key: torch.full((number + 1,), 1.0) for number, (key, _) in enumerate(KEYS[name])}
    torch.save(tensors, tmp_path / "m.pth")
    state_dict = open_checkpoint(tmp_path / "m.pth").state_dict()
    if name == "taken":
        # Text keeps its name, wherever it stands.
        assert {key: entry.shape for key, entry in state_dict.items()} == {
            "1 (int) (2)": (1,), "1": (2,), "1 (int)": (3,),
        }  # fmt: skip
        return
    assert [(key, entry.shape) for key, entry in state_dict.items()] == [
        (text, (number + 1,)) for number, (_, text) in enumerate(KEYS[name])
    ]


@pytest.mark.parametrize("name", sorted(KEYS.keys() - {"taken"}))
def test_values_under_unusual_keys_each_have_a_name(tmp_path: Path, name: str) -> None:
    values = {key: number for number, (key, _) in enumerate(KEYS[name])}
    torch.save({"w": torch.ones(1), "by": values}, tmp_path / "m.pth")
    shown = open_checkpoint(tmp_path / "m.pth").metadata["by"]
    assert shown == {text: number for number, (_, text) in enumerate(KEYS[name])}


def test_paths_that_print_alike_are_two(tmp_path: Path) -> None:
    saved = {"a.b": {"w": torch.ones(1)}, "a": {"b": {"w": torch.ones(2)}}}
    torch.save(saved, tmp_path / "m.pth")
    state_dicts = open_checkpoint(tmp_path / "m.pth").state_dicts
    assert {path: entries["w"].shape for path, entries in state_dicts.items()} == {
        "a.b": (1,), "a.b (2)": (2,),
    }  # fmt: skip


def test_tensors_in_a_set_are_found(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1), "seen": {torch.ones(2)}}, tmp_path / "m.pth")
    assert open_checkpoint(tmp_path / "m.pth").state_dict("seen")["0"].shape == (2,)


def test_a_set_of_long_tuples_is_a_list(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1), "seen": {(1,) * 30, (2,) * 3}}, tmp_path / "m.pth")
    seen = open_checkpoint(tmp_path / "m.pth").metadata["seen"]
    assert seen == [f"({', '.join('1' * 30)})", "(2, 2, 2)"]


def test_two_openings_show_a_set_alike(tmp_path: Path) -> None:
    members = {(number, str(number)) for number in range(50)} | {*range(30), *"abc"}
    torch.save({"w": torch.ones(1), "seen": members}, tmp_path / "m.pth")
    first, second = (open_checkpoint(tmp_path / "m.pth").metadata["seen"] for _ in range(2))
    assert first == second


def test_what_python_cannot_hash_is_damage(tmp_path: Path) -> None:
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(b"}]K\x01s")))
    with pytest.raises(Exception, match="a key in it has a type that keys never have"):
        open_checkpoint(tmp_path / "m.pth")


TENSORS = [torch.full((3,), float(number)) for number in range(3)]


@pytest.mark.parametrize(
    ("saved", "note"),
    [
        (
            {"w": TENSORS[0], "ages": {TENSORS[1]: 1}},
            "1 tensor is the key of a dictionary and nowhere",
        ),
        (
            {"w": TENSORS[0], "ages": {TENSORS[1]: 1, TENSORS[2]: 2}},
            "2 tensors are keys of a dictionary",
        ),
        ({"w": TENSORS[0], "ages": {(TENSORS[1], "a"): 1}}, "1 tensor is the key"),
        ({"w": TENSORS[0], "ages": {TENSORS[0]: 1}}, ""),
        ({"w": TENSORS[0], "known": set(TENSORS)}, ""),
    ],
)
def test_tensors_that_are_only_keys_are_told(
    tmp_path: Path, saved: dict[str, object], note: str
) -> None:
    torch.save(saved, tmp_path / "m.pth")
    notes = [text for text in open_checkpoint(tmp_path / "m.pth").notes if "dictionary" in text]
    assert len(notes) == bool(note)
    assert note in "".join(notes)


def test_a_whole_optimizers_state_tells_of_the_parameters_that_it_does_not_list(
    tmp_path: Path,
) -> None:
    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.save(optimizer, tmp_path / "all.pth")
    assert not [note for note in open_checkpoint(tmp_path / "all.pth").notes if "key" in note]
    torch.save(optimizer.state, tmp_path / "state.pth")
    checkpoint = open_checkpoint(tmp_path / "state.pth")
    assert "0.exp_avg" in checkpoint.state_dict()
    assert any("2 tensors are keys of a dictionary" in note for note in checkpoint.notes)


def test_a_file_whose_tensors_are_all_keys_says_so(tmp_path: Path) -> None:
    torch.save({"ages": {TENSORS[0]: 1}}, tmp_path / "m.pth")
    with pytest.raises(CheckpointError, match="1 tensor is the key of a dictionary"):
        open_checkpoint(tmp_path / "m.pth")
