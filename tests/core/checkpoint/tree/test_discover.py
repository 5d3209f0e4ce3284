"""State_dicts are found wherever they lie, each object once, and with the names that it has."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import fx, nn
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

from core.checkpoint import open_checkpoint
from tests.bounds import at_most
from tests.core.checkpoint.same_tensors import Save, assert_same_tensors, both_formats


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 1))


class Blocks(nn.Module):
    """Modules that know each other: each block has all of them as submodules of its own."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(blocks))
        for block in list(self.blocks):
            block.peers = nn.ModuleList(self.blocks)


class Persistent(nn.Module):
    """Pickled with its state in an argument, as StyleGAN's torch_utils/persistence.py does."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Linear(2, 2)
        self.blocks = nn.ModuleList([nn.Linear(2, 2)])

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {"type": "class", "module_src": "", "class_name": "G", "state": self.__dict__}
        return made_again, (meta,)


def made_again(meta: dict[str, Any]) -> Persistent:
    made = Persistent()
    made.__dict__.update(meta["state"])
    return made


class Trainer:
    """Has its model in several places, and an optimizer."""

    def __init__(self) -> None:
        self.model = small()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.models = [self.model] * 3


@both_formats
def test_a_traced_model_is_one_module(tmp_path: Path, save: Save, format: str) -> None:
    """Its state is an argument of torch.fx's function."""
    model = small()
    save({"model": fx.symbolic_trace(model), "epoch": 1}, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert list(checkpoint.state_dicts) == ["model"]
    assert_same_tensors(checkpoint, model.state_dict(keep_vars=True))


def test_a_feature_extractor_is_one_module(tmp_path: Path) -> None:
    """Its graphs have thousands of nodes, each of which leads to all others and to the model."""
    extractor = create_feature_extractor(resnet18(), ["layer1", "layer4"])
    torch.save(extractor, tmp_path / "m.pth")
    with at_most(calls=3_000_000):
        checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert list(checkpoint.state_dicts) == [""]
    assert_same_tensors(checkpoint, extractor.state_dict(keep_vars=True))


def test_a_model_whose_state_is_in_an_argument_has_all_its_keys(tmp_path: Path) -> None:
    models = {"G": Persistent(), "D": Persistent(), "training_set_kwargs": None}
    torch.save(models, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert list(checkpoint.state_dicts) == ["G", "D"]
    for name in ("G", "D"):
        weights = Persistent().state_dict()
        assert list(checkpoint.state_dict(name)) == list(weights)


def test_modules_that_know_each_other_are_listed_once(tmp_path: Path) -> None:
    model = Blocks(8)
    torch.save(model, tmp_path / "m.pth")
    state_dict = open_checkpoint(tmp_path / "m.pth").state_dict()
    assert list(state_dict) == [name for name, _ in model.named_parameters()]


def test_a_module_in_two_places_has_two_names_as_in_its_state_dict(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.Sequential(layer))
    torch.save(model, tmp_path / "m.pth")
    assert_same_tensors(open_checkpoint(tmp_path / "m.pth"), model.state_dict(keep_vars=True))


def test_an_object_that_several_attributes_have_is_listed_once(tmp_path: Path) -> None:
    torch.save(Trainer(), tmp_path / "m.pth")
    state_dicts = open_checkpoint(tmp_path / "m.pth").state_dicts
    assert next(iter(state_dicts)) == "model"
    assert not any(path.startswith("models") for path in state_dicts)


def test_a_state_dict_under_two_names_is_listed_under_both(tmp_path: Path) -> None:
    weights = small().state_dict()
    checkpoint = {"state_dict": weights, "epoch": 1}
    torch.save({"last": checkpoint, "best": checkpoint, "ema": weights}, tmp_path / "m.pth")
    opened = open_checkpoint(tmp_path / "m.pth")
    assert list(opened.state_dicts) == ["last.state_dict", "best.state_dict", "ema"]
    assert opened.best == "last.state_dict"


@pytest.mark.parametrize("depth", [70, 400, 3000])
@pytest.mark.parametrize("kind", [dict, list])
def test_a_tensor_is_found_however_deep_it_lies(tmp_path: Path, kind: type, depth: int) -> None:
    value: Any = {"weight": torch.ones(2)}
    for _ in range(depth):
        value = {"d": value} if kind is dict else [value]
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(50_000)
    try:
        torch.save({"w": torch.ones(1), "deep": value}, tmp_path / "m.pth")
    finally:
        sys.setrecursionlimit(limit)
    state_dicts = open_checkpoint(tmp_path / "m.pth").state_dicts
    (path,) = (path for path in state_dicts if path)
    assert list(state_dicts[path]) == ["weight"]
    assert path.startswith("deep.")
    assert len(path) <= 1025


def test_a_model_of_seventy_levels_has_its_weights(tmp_path: Path) -> None:
    model: nn.Module = nn.Linear(2, 2)
    for _ in range(70):
        model = nn.Sequential(model)
    torch.save(model, tmp_path / "m.pth")
    assert_same_tensors(open_checkpoint(tmp_path / "m.pth"), model.state_dict(keep_vars=True))


ARRAYS = {"l.weight": np.ones((2, 3), np.float32), "l.bias": np.ones(2, np.float32)}


@pytest.mark.parametrize(
    "beside",
    [
        {"rng_state": torch.ByteTensor([1, 2])},
        {"optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}},
        {"best_loss": torch.tensor(0.5)},
    ],
    ids=["random state", "optimizer", "loss"],
)
def test_a_model_of_arrays_is_the_state_dict_beside_tensors(
    tmp_path: Path, beside: dict[str, Any]
) -> None:
    torch.save({"model": ARRAYS, **beside}, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert checkpoint.best == "model"
    assert_same_tensors(checkpoint, {key: torch.from_numpy(ARRAYS[key]) for key in ARRAYS})


def test_a_buffer_of_arrays_beside_a_model_is_none(tmp_path: Path) -> None:
    buffer = {"observations": np.zeros((500, 4)), "rewards": np.zeros(500)}
    torch.save({"policy": small().state_dict(), "replay": buffer}, tmp_path / "m.pth")
    assert list(open_checkpoint(tmp_path / "m.pth").state_dicts) == ["policy"]


@pytest.mark.parametrize("pair", [tuple, list])
@pytest.mark.parametrize("path", ["", "params"])
def test_named_parameters_keep_their_names(tmp_path: Path, path: str, pair: type) -> None:
    pairs = [pair((name, weight.detach())) for name, weight in small().named_parameters()]
    torch.save({path: pairs} if path else pairs, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert list(checkpoint.state_dicts) == [path]
    assert_same_tensors(checkpoint, dict(pairs))


def test_two_parameters_of_one_name_are_two(tmp_path: Path) -> None:
    torch.save([("w", torch.ones(1)), ("w", torch.ones(2))], tmp_path / "m.pth")
    state_dict = open_checkpoint(tmp_path / "m.pth").state_dict()
    assert {key: entry.shape for key, entry in state_dict.items()} == {"w": (1,), "w (2)": (2,)}
