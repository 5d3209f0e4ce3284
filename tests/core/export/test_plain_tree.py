"""Each kind of value beside the weights is kept as plain data, or left out and reported."""

import pickle
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from core.checkpoint import open_checkpoint
from core.export import Keep
from core.export.plain_tree import written_tree
from tests.core.checkpoint.files_by_hand import with_tensor, zip_file
from tests.core.checkpoint.test_dtypes_and_layouts import Pair
from tests.core.export.test_kept_data import NoState, Trainer, exported, same


def kept(
    tmp_path: Path, saved: Mapping[str, object], keep: Keep = "all"
) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """What torch.load gives of the export beside its weights, and what was left out of it."""
    source = tmp_path / "in.pth"
    torch.save({"state_dict": {"module.w": torch.ones(2)}, **saved}, source)
    return reloaded(tmp_path, source, keep)


def reloaded(
    tmp_path: Path, source: Path, keep: Keep
) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    done = exported(source, tmp_path / "out.pth", keep)
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert same(dict(loaded.pop("state_dict")), {"w": torch.ones(2)})
    return loaded, {one.path: (one.what, one.became) for one in done.left_out}


def test_values_of_other_classes_become_plain_ones(tmp_path: Path) -> None:
    saved = {
        "path": PurePosixPath("/data/run"),
        "relative": PurePosixPath("run/1"),
        "numpy_dtype": np.dtype("float32"),
        "classes": np.array(["cat", "dog"]),
        "best": np.array(0.5),
    }
    loaded, left_out = kept(tmp_path, saved, "metadata")
    assert loaded == {
        "path": "/data/run",
        "relative": "run/1",
        "numpy_dtype": "f4",
        "classes": ["cat", "dog"],
        "best": 0.5,
    }
    assert left_out == {
        "numpy_dtype": ("numpy's dtype f4", "its code"),
        "classes": ("a numpy array of 2", "a list"),
        "best": ("a numpy array of one value", "its value"),
    }


def test_of_all_an_array_of_texts_becomes_a_list(tmp_path: Path) -> None:
    loaded, left_out = kept(tmp_path, {"classes": np.array([["cat"], ["dog"]])})
    assert loaded == {"classes": [["cat"], ["dog"]]}
    assert left_out == {"classes": ("a numpy array of 2 × 1", "a list")}


@pytest.mark.parametrize("keep", ["metadata", "all"])
def test_what_is_no_plain_value_is_left_out(tmp_path: Path, keep: Keep) -> None:
    saved = {
        "class": nn.Linear,
        "hooks": [Trainer(), Trainer()],
        "by class": {nn.Linear: 1, "other": 2},
        "records": np.zeros(2, [("a", "i4")]),
        "seed": 1 << 3000,
    }
    loaded, left_out = kept(tmp_path, saved, keep)
    assert loaded == {"by class": {"other": 2}}
    trainer = f"an object of the class {Trainer.__module__}.Trainer"
    linear = "torch.nn.modules.linear.Linear"
    assert left_out == {
        "class": (f"the name {linear}", ""),
        "hooks.0": (trainer, ""),
        "hooks.1": (trainer, ""),
        f"by class.{linear}": ("a value whose key is an object", ""),
        "records": ("a numpy array of 2", ""),
        "seed": ("a number with too many digits", ""),
    }


def test_a_number_that_was_not_read_whole_is_left_out(tmp_path: Path) -> None:
    number = b"L" + b"9" * 5_000 + b"L\n"
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(number)))
    done = exported(tmp_path / "m.pth", tmp_path / "out.pth", "all")
    assert [(one.path, one.what) for one in done.left_out] == [
        ("x", "a number with too many digits")
    ]


def test_a_tensor_of_a_class_with_several_inner_tensors_is_left_out(tmp_path: Path) -> None:
    pair = Pair(torch.ones(2), torch.ones(1))
    loaded, left_out = kept(tmp_path, {"ema": {"a": pair, "b": torch.zeros(1)}})
    assert same(loaded, {"ema": {"b": torch.zeros(1)}})
    assert left_out == {"ema.a": (f"a {Pair.__module__}.Pair", "")}


def test_tensors_in_a_list_are_kept_as_those_in_a_dict_are(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        typed = torch.arange(3.0).storage()
    tensors = [torch.ones(1), typed, Pair(torch.ones(2), None)]
    pair = Pair(torch.ones(2), torch.ones(1))
    loaded, left_out = kept(tmp_path, {"parts": [*tensors, pair], "by name": {"typed": typed}})
    assert same(loaded["parts"][:3], [torch.ones(1), torch.arange(3.0), torch.ones(2)])
    assert loaded["parts"][3] is None
    assert same(loaded["by name"], {"typed": torch.arange(3.0)})
    assert left_out == {"parts.3": (f"a {Pair.__module__}.Pair", "")}
    metadata, left_out = kept(tmp_path, {"parts": [*tensors, pair, "x"]}, "metadata")
    assert (metadata, left_out) == ({"parts": ["x"]}, {})


def test_only_the_versions_among_a_dicts_attributes_are_kept(tmp_path: Path) -> None:
    ema, other = OrderedDict(a=torch.zeros(1)), OrderedDict(b=torch.zeros(2))
    ema._metadata = {"": {"version": 2}}  # type: ignore[attr-defined]
    other.note = "mine"  # type: ignore[attr-defined]
    loaded, left_out = kept(tmp_path, {"ema": ema, "other": other})
    assert loaded["ema"]._metadata == {"": {"version": 2}}
    assert same(loaded["other"], OrderedDict(b=torch.zeros(2)))
    assert not hasattr(loaded["other"], "note")
    assert left_out == {}


def test_thousands_of_values_that_are_left_out_are_named_up_to_a_thousand(tmp_path: Path) -> None:
    loaded, left_out = kept(tmp_path, {"hooks": [Trainer() for _ in range(1500)], "epoch": 1})
    assert loaded == {"epoch": 1}
    assert len(left_out) == 1000


def test_a_value_whose_name_a_repaired_tensor_takes_gives_way(tmp_path: Path) -> None:
    torch.save({"module.w": torch.ones(2), "w": "mine", "epoch": 1}, tmp_path / "in.pth")
    done = exported(tmp_path / "in.pth", tmp_path / "out.pth", "all")
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert same(dict(loaded), {"w": torch.ones(2), "epoch": 1})
    assert [one.sentence for one in done.left_out] == ["w: a value with a repaired tensor's key"]


def test_an_array_among_the_weights_that_is_no_list_is_left_out(tmp_path: Path) -> None:
    weights = {"module.w": torch.ones(2), "table": np.zeros(2, [("a", "i4")])}
    torch.save(weights, tmp_path / "in.pth")
    done = exported(tmp_path / "in.pth", tmp_path / "out.pth", "all")
    assert same(dict(torch.load(tmp_path / "out.pth")), {"w": torch.ones(2)})
    assert [one.sentence for one in done.left_out] == ["table: a numpy array of 2"]


def test_of_a_whole_model_the_metadata_is_what_is_beside_it(tmp_path: Path) -> None:
    model = NoState()
    torch.save({"model": model, "epoch": 2}, tmp_path / "in.pth")
    done = exported(tmp_path / "in.pth", tmp_path / "out.pth", "metadata")
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert same(dict(loaded.pop("state_dict")), dict(model.state_dict()))
    assert loaded == {"epoch": 2}
    assert done.left_out == ()


def test_long_bytes_in_a_plain_pickle_are_left_out_with_their_size(tmp_path: Path) -> None:
    saved = {"state_dict": {"module.w": torch.ones(2)}, "log": b"x" * 9000, "short": b"x"}
    (tmp_path / "in.pkl").write_bytes(pickle.dumps(saved))
    loaded, left_out = reloaded(tmp_path, tmp_path / "in.pkl", "metadata")
    assert loaded == {"short": b"x"}
    assert left_out == {"log": ("9\u202f000 bytes", "")}


def test_keys_that_are_not_text_stay_what_they_are(tmp_path: Path) -> None:
    by = {1: "a", "1": "b", 1.5: "c", (1, "x"): "d", b"k": "e", None: "f"}
    weights = {1: torch.ones(1), "1": torch.ones(2)}
    torch.save({"model": weights, "by": by, "seen": {(1, 2)}}, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    written = written_tree(checkpoint, checkpoint.state_dict("model"), tensors=True).tree
    assert isinstance(written, dict)
    assert written["by"] == by
    assert written["seen"] == {(1, 2)}
    assert {key: entry.shape for key, entry in written["model"].items()} == {
        "1 (int)": (1,), "1": (2,),
    }  # fmt: skip
