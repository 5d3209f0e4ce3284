"""What an export keeps beside the weights: nothing, the plain data, or all that the file holds."""

import argparse
import gzip
import io
import json
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torchvision.models import squeezenet1_1

from core.checkpoint import open_checkpoint
from core.errors import StoreError
from core.export import KEEPS, Export, Keep, dropped_parts, export_sizes, export_state_dict
from core.fixes import CastDtype, Recipe, Step, StripPrefix
from core.recipe import apply_recipe
from core.wording import size

STRIP = Recipe((Step(StripPrefix("module.")),))


class Trainer:
    """A class that no reader of the file has."""

    def __init__(self) -> None:
        self.secret = 3


class NoState(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 3)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A training's checkpoint after a step of Adam, with an EMA that shares one tensor."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.BatchNorm1d(30))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.randn(4, 20)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    weights = OrderedDict((f"module.{key}", value) for key, value in model.state_dict().items())
    saved = {
        "epoch": 7,
        "state_dict": weights,
        "ema": {**{key: value * 2 for key, value in weights.items()}, "decay": 0.99},
        "optimizer": optimizer.state_dict(),
        "lr_schedulers": [scheduler.state_dict()],
        "classes": ["cat", "dög"],
        "mean": (0.1, 0.2),
        "best": float("inf"),
        "flags": {1: True, "none": None, "set": {"a"}, "z": 1 + 2j, "raw": b"\x00\xff"},
        "args": argparse.Namespace(arch="mlp", lr=0.01),
        "trainer": Trainer(),
        "scores": np.array([[1.5, 2.5], [3.5, 4.5]]),
        "dtype": torch.float16,
        "count": np.int64(12),
    }
    saved["ema"]["module.0.bias"] = weights["module.0.bias"]
    path = tmp_path_factory.mktemp("training") / "run.ckpt"
    torch.save(saved, path)
    return path, saved


def exported(source: Path, out: Path, keep: Keep, recipe: Recipe = STRIP) -> Export:
    checkpoint = open_checkpoint(source)
    repaired = apply_recipe(recipe, checkpoint.state_dict()).state_dict
    suffix = "safetensors" if out.suffix == ".safetensors" else "pth"
    return export_state_dict(repaired, out, suffix, keep=keep, checkpoint=checkpoint)


def same(actual: object, expected: object) -> bool:
    """Equal all the way down, tensors bit for bit."""
    if isinstance(expected, torch.Tensor):
        return isinstance(actual, torch.Tensor) and torch.equal(actual, expected)
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and list(actual) == list(expected)
            and all(same(actual[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list | tuple):
        return (
            type(actual) is type(expected)
            and len(actual) == len(expected)
            and all(map(same, actual, expected))
        )
    return type(actual) is type(expected) and actual == expected


def stripped(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key.removeprefix("module."): value for key, value in weights.items()}


def test_the_weights_alone_are_a_bare_state_dict(
    tmp_path: Path, training: tuple[Path, dict[str, Any]]
) -> None:
    path, saved = training
    done = exported(path, tmp_path / "out.pth", "weights")
    assert same(torch.load(tmp_path / "out.pth"), stripped(saved["state_dict"]))
    assert (done.kept, done.left_out) == ((), ())
    assert done.nbytes == (tmp_path / "out.pth").stat().st_size
    assert done.tensors == len(saved["state_dict"])


def test_the_metadata_is_the_plain_data_without_tensors_and_training_state(
    tmp_path: Path, training: tuple[Path, dict[str, Any]]
) -> None:
    path, saved = training
    done = exported(path, tmp_path / "out.pth", "metadata")
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert same(
        loaded,
        {
            "state_dict": stripped(saved["state_dict"]),
            "epoch": 7,
            "ema": {"decay": 0.99},
            **{name: saved[name] for name in ("classes", "mean", "best", "flags")},
            "args": {"arch": "mlp", "lr": 0.01},
            "scores": saved["scores"].tolist(),
            "dtype": "torch.float16",
            "count": 12,
        },
    )
    assert "epoch" in done.kept
    told = {one.path: one for one in done.left_out}
    assert told["trainer"].became == ""
    assert "Trainer" in told["trainer"].sentence
    assert told["args"].became == "a dictionary"
    assert told["scores"].became == "a list"
    assert set(told) == {"trainer", "args", "scores"}


def test_the_metadata_in_safetensors_are_texts_and_json(
    tmp_path: Path, training: tuple[Path, dict[str, Any]]
) -> None:
    path, saved = training
    exported(path, tmp_path / "out.safetensors", "metadata")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        texts = file.metadata()
    assert texts["format"] == "pt"
    assert json.loads(texts["epoch"]) == 7
    assert json.loads(texts["classes"]) == ["cat", "dög"]
    assert json.loads(texts["args"]) == {"arch": "mlp", "lr": 0.01}
    assert texts["dtype"] == "torch.float16"
    assert "optimizer" not in texts
    weights = stripped(saved["state_dict"])
    loaded = load_file(tmp_path / "out.safetensors")
    assert all(torch.equal(loaded[key], weights[key]) for key in weights)


def test_all_is_the_whole_tree_with_the_repaired_weights_in_their_place(
    tmp_path: Path, training: tuple[Path, dict[str, Any]]
) -> None:
    path, saved = training
    done = exported(path, tmp_path / "out.pth", "all")
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert list(loaded) == [name for name in saved if name != "trainer"]
    for name in ("epoch", "optimizer", "lr_schedulers", "classes", "mean", "flags", "ema", "dtype"):
        assert same(loaded[name], saved[name]), name
    assert same(loaded["state_dict"], stripped(saved["state_dict"]))
    assert torch.equal(loaded["scores"], torch.from_numpy(saved["scores"]))
    assert {one.path: one.became for one in done.left_out} == {
        "trainer": "",
        "args": "a dictionary",
        "scores": "a tensor",
    }
    shared = loaded["ema"]["module.0.bias"]
    assert shared.data_ptr() == loaded["state_dict"]["0.bias"].data_ptr()


@pytest.mark.parametrize("place", [None, "model"])
def test_a_numpy_array_among_the_weights_becomes_no_weight(
    tmp_path: Path, place: str | None
) -> None:
    weights = {"module.w": torch.ones(2), "mean": np.array([[0.5, 0.25]]), "best": np.float32(2)}
    torch.save(weights if place is None else {place: weights}, tmp_path / "in.pth")
    done = exported(tmp_path / "in.pth", tmp_path / "out.pth", "all")
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    loaded = loaded if place is None else loaded[place]
    assert same(dict(loaded), {"w": torch.ones(2), "mean": [[0.5, 0.25]], "best": 2.0})
    assert [one.became for one in done.left_out] == ["a list"]


def test_a_training_goes_on_from_an_export_of_all(
    tmp_path: Path, training: tuple[Path, dict[str, Any]]
) -> None:
    path, _ = training
    exported(path, tmp_path / "out.pth", "all")
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    model = torch.nn.Sequential(torch.nn.Linear(20, 30), torch.nn.BatchNorm1d(30))
    model.load_state_dict(loaded["state_dict"])
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.load_state_dict(loaded["optimizer"])
    assert optimizer.param_groups[0]["lr"] == 0.01
    assert int(optimizer.state[model[0].weight]["step"]) == 1


def test_a_value_called_format_is_named_where_a_safetensors_has_its_own(tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.ones(2)}, "format": "mine", "epoch": 1}, tmp_path / "in.pth")
    done = exported(tmp_path / "in.pth", tmp_path / "out.safetensors", "metadata")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "epoch": "1"}
    assert done.kept == ("epoch",)
    assert [one.sentence for one in done.left_out] == [
        "format: a name that safetensors itself uses"
    ]


def test_halves_of_characters_stay_out_of_a_safetensors_which_nothing_would_read(
    tmp_path: Path,
) -> None:
    saved = {"model": {"w": torch.ones(2)}, "note": "a\ud800", "\udc00": 1, "list": ["\ud800"]}
    torch.save(saved, tmp_path / "in.pth")
    out = tmp_path / "out.safetensors"
    done = exported(tmp_path / "in.pth", out, "metadata")
    with safe_open(out, "pt") as file:
        assert file.metadata() == {"format": "pt", "list": '["\\ud800"]'}
    assert [one.path for one in done.left_out] == ["note", "\udc00"]
    torch.save({"w\ud800": torch.ones(2)}, tmp_path / "in.pth")
    with pytest.raises(StoreError, match=r"The key w\\ud800 contains half a character"):
        exported(tmp_path / "in.pth", out, "weights")


def test_a_safetensors_takes_no_whole_training_and_says_so(
    tmp_path: Path, training: tuple[Path, dict[str, Any]]
) -> None:
    with pytest.raises(StoreError, match=r"Export it as \.pth"):
        exported(training[0], tmp_path / "out.safetensors", "all")
    assert not list(tmp_path.iterdir())


def test_of_pickled_models_the_weights_are_kept_and_the_classes_named(tmp_path: Path) -> None:
    model, ema = NoState(), NoState()
    torch.save({"model": model, "ema": ema, "epoch": 2}, tmp_path / "in.pth")
    done = exported(tmp_path / "in.pth", tmp_path / "out.pth", "all")
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    weights = {"model": dict(model.state_dict()), "ema": dict(ema.state_dict())}
    assert same(loaded, {**weights, "epoch": 2})
    assert [(one.path, one.became) for one in done.left_out] == [
        ("model", "its weights alone"),
        ("ema", "its weights alone"),
    ]
    assert all("NoState" in one.what for one in done.left_out)


@pytest.mark.parametrize("keep", KEEPS)
def test_a_bare_state_dict_is_exported_by_every_choice(tmp_path: Path, keep: Keep) -> None:
    weights = squeezenet1_1(num_classes=2).state_dict()
    torch.save(weights, tmp_path / "in.pth")
    done = exported(tmp_path / "in.pth", tmp_path / "out.pth", keep)
    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert same(dict(loaded["state_dict"] if keep == "metadata" else loaded), dict(weights))
    assert done.left_out == ()


def test_the_texts_of_a_safetensors_go_with_it_into_either_format(tmp_path: Path) -> None:
    weights = {"w": torch.arange(3.0)}
    save_file(weights, tmp_path / "in.safetensors", {"format": "pt", "note": "ü", "epoch": "3"})
    for keep in ("metadata", "all"):
        exported(tmp_path / "in.safetensors", tmp_path / "out.pth", keep)
        loaded = torch.load(tmp_path / "out.pth", weights_only=True)
        assert same(dict(loaded.pop("state_dict")), weights)
        assert loaded == {"note": "ü", "epoch": "3"}
    exported(tmp_path / "in.safetensors", tmp_path / "out.safetensors", "metadata")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "ü", "epoch": "3"}


def test_data_that_holds_itself_ends(tmp_path: Path) -> None:
    ring: list[object] = [1]
    ring.append(ring)
    torch.save({"state_dict": {"w": torch.ones(1)}, "ring": ring}, tmp_path / "in.pth")
    done = exported(tmp_path / "in.pth", tmp_path / "out.pth", "metadata")
    assert torch.load(tmp_path / "out.pth")["ring"] == [1]
    assert [one.sentence for one in done.left_out] == ["ring.1: a container of itself"]


def test_data_that_is_shared_a_million_times_is_written_once(tmp_path: Path) -> None:
    shared: list[object] = ["x"]
    for _ in range(40):
        shared = [shared, shared]
    torch.save({"state_dict": {"w": torch.ones(1)}, "deep": shared}, tmp_path / "in.pth")
    exported(tmp_path / "in.pth", tmp_path / "out.pth", "metadata")
    assert (tmp_path / "out.pth").stat().st_size < 10_000


def test_what_would_be_endless_as_text_is_left_out_of_a_safetensors(tmp_path: Path) -> None:
    shared: list[object] = ["x"]
    for _ in range(40):
        shared = [shared, shared]
    torch.save({"state_dict": {"w": torch.ones(1)}, "a": shared, "n": "y"}, tmp_path / "in.pth")
    done = exported(tmp_path / "in.pth", tmp_path / "out.safetensors", "metadata")
    assert [one.path for one in done.left_out] == ["a"]
    assert done.kept == ("n",)


def test_the_optimizers_own_state_has_no_place_to_be_put_into(
    tmp_path: Path, training: tuple[Path, dict[str, Any]]
) -> None:
    checkpoint = open_checkpoint(training[0])
    state = checkpoint.state_dict("optimizer.state")
    with pytest.raises(StoreError, match="optimizer's state"):
        export_state_dict(state, tmp_path / "out.pth", "pth", keep="all", checkpoint=checkpoint)


def test_a_choice_beyond_the_weights_needs_the_checkpoint(
    tmp_path: Path, training: tuple[Path, dict[str, Any]]
) -> None:
    state_dict = open_checkpoint(training[0]).state_dict()
    with pytest.raises(ValueError, match="needs the checkpoint"):
        export_state_dict(state_dict, tmp_path / "out.pth", "pth", keep="metadata")


@pytest.mark.parametrize("form", ["pth", "safetensors"])
def test_what_each_choice_weighs_is_known_to_the_byte_before_it_is_written(
    tmp_path: Path, training: tuple[Path, dict[str, Any]], form: Any
) -> None:
    checkpoint = open_checkpoint(training[0])
    recipe = Recipe((*STRIP.steps, Step(CastDtype("float16"))))
    repaired = apply_recipe(recipe, checkpoint.state_dict()).state_dict
    sizes = export_sizes(repaired, form, checkpoint)
    assert sizes.source == training[0].stat().st_size
    assert set(sizes.choices) == set(KEEPS[: 3 if form == "pth" else 2])
    for keep, told in sizes.choices.items():
        path = tmp_path / keep
        done = export_state_dict(repaired, path, form, keep=keep, checkpoint=checkpoint)
        assert told.nbytes == path.stat().st_size
        assert (told.kept, told.left_out) == (done.kept, done.left_out)


def test_the_sentence_says_what_is_stripped_and_what_is_saved(
    tmp_path: Path, training: tuple[Path, dict[str, Any]]
) -> None:
    path, saved = training
    checkpoint = open_checkpoint(path)
    sizes = export_sizes(checkpoint.state_dict(), "pth", checkpoint)
    state = saved["optimizer"]["state"].values()
    assert sizes.others["optimizer"] == sum(
        tensor.nbytes for group in state for tensor in group.values()
    )
    ema = [value for key, value in saved["ema"].items() if key not in ("module.0.bias", "decay")]
    assert sizes.others["ema"] == sum(tensor.nbytes for tensor in ema)
    sentence = sizes.sentence("weights").replace("\u202f", " ")
    assert sentence.startswith("Strips 5.54 kB of optimizer state and 2.89 kB of EMA weights: ")
    assert sentence.endswith(" kB.")
    assert "Strips" not in sizes.sentence("all")
    once_more = replace(sizes, source=sizes.choices["all"].nbytes + 1)
    assert once_more.sentence("all") == f"{size(once_more.source)}, as before."


def in_bytes(weights: dict[str, torch.Tensor]) -> bytes:
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()


POLICY = in_bytes({"w": torch.arange(6.0)})


@pytest.mark.parametrize("policy", [POLICY, gzip.compress(POLICY)], ids=["plain", "gzip"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
@pytest.mark.parametrize("keep", ["metadata", "all"])
def test_a_checkpoint_in_bytes_is_kept_byte_for_byte(
    tmp_path: Path, keep: Keep, zipped: bool, policy: bytes
) -> None:
    saved = {"state_dict": {"module.w": torch.ones(6)}, "epoch": 3, "policy": policy}
    torch.save(saved, tmp_path / "in.pth", _use_new_zipfile_serialization=zipped)

    done = exported(tmp_path / "in.pth", tmp_path / "out.pth", keep)

    loaded = torch.load(tmp_path / "out.pth", weights_only=True)
    assert same(dict(loaded.pop("state_dict")), {"w": torch.ones(6)})
    assert loaded == {"epoch": 3, "policy": policy}
    assert done.left_out == ()
    checkpoint = open_checkpoint(tmp_path / "in.pth")
    assert dropped_parts(checkpoint, "state_dict", keep) == []
    sizes = export_sizes(checkpoint.state_dict(), "pth", checkpoint)
    assert "Strips" not in sizes.sentence(keep)


@pytest.mark.parametrize("keep", ["metadata", "all"])
@pytest.mark.parametrize("format", ["pth", "safetensors"])
@pytest.mark.parametrize("more", [{}, {"state_dict": {"w": torch.ones(6)}}], ids=["alone", "more"])
def test_what_is_around_a_checkpoint_in_bytes_is_not_kept_with_it(
    tmp_path: Path, more: dict[str, Any], format: Any, keep: Keep
) -> None:
    torch.save({**more, "epoch": 3, "policy": POLICY}, tmp_path / "in.pth")
    checkpoint = open_checkpoint(tmp_path / "in.pth")
    policy = checkpoint.state_dict("policy.bytes")

    with pytest.raises(StoreError, match=r"^policy\.bytes is a checkpoint in the bytes") as refused:
        export_state_dict(policy, tmp_path / "out", format, keep=keep, checkpoint=checkpoint)
    assert "--keep weights" in refused.value.remedy
    assert keep in export_sizes(policy, format, checkpoint).refused


def test_a_checkpoint_in_the_bytes_of_a_trainings_state_is_named_as_dropped(tmp_path: Path) -> None:
    saved = {"state_dict": {"w": torch.ones(6)}, "optimizer": {"blob": POLICY}}
    torch.save(saved, tmp_path / "in.pth")
    dropped = dropped_parts(open_checkpoint(tmp_path / "in.pth"), "state_dict", "metadata")
    assert dropped == ["optimizer.blob.bytes (1 tensor)"]
