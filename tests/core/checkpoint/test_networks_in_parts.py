"""A network that a training script saved in several dicts, the trunk in one and the head in one."""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from core.checkpoint import Checkpoint, open_checkpoint
from core.compare.metadata import other_tensors
from core.export import export_sizes, export_state_dict
from core.fixes import Recipe
from core.inspect import sections
from core.recipe import apply_recipe


def trunk() -> OrderedDict[str, torch.Tensor]:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).state_dict()


def head() -> OrderedDict[str, torch.Tensor]:
    return nn.Linear(3, 2).state_dict()


def opened(path: Path, value: object) -> Checkpoint:
    torch.save(value, path)
    return open_checkpoint(path)


def test_a_trunk_and_its_head_are_one_state_dict(tmp_path: Path) -> None:
    model = {"trunk": trunk(), "heads": OrderedDict({"0.clf.0.weight": torch.ones(2, 3)})}
    checkpoint = opened(tmp_path / "a.pth", {"classy": {"model": model, "meters": []}, "epoch": 3})
    assert checkpoint.best == "classy.model"
    assert list(checkpoint.state_dict()) == [
        *(f"trunk.{key}" for key in trunk()),
        "heads.0.clf.0.weight",
    ]
    assert checkpoint.roles["classy.model"] == "model"
    assert checkpoint.state_dict().versions["trunk.1"] == 2


def test_the_parts_stay_what_they_are(tmp_path: Path) -> None:
    checkpoint = opened(tmp_path / "a.pth", {"encoder": trunk(), "decoder": head()})
    assert checkpoint.best == ""
    assert list(checkpoint.state_dicts) == ["encoder", "decoder"]
    assert list(checkpoint.state_dict("decoder")) == ["weight", "bias"]
    (section,) = sections(checkpoint)
    assert section.tensors == len(trunk()) + len(head())


@pytest.mark.parametrize(
    "names",
    [
        ("encoder", "decoder"),
        ("backbone", "head"),
        ("feature_extractor", "classifier"),
        ("encoder_state_dict", "decoder_state_dict"),
        ("Backbone", "neck"),
        ("model", "head"),
        ("state_dict", "fc"),
        ("state_dict", "classifier_state"),
        ("model_state_dict", "classifier_state_dict"),
        ("net", "linear"),
        ("model", "age_head"),
        ("net", "color_classifier"),
        ("backbone", "fc_2"),
        ("backbone", "cls_fc_state_dict"),
    ],
)
def test_names_of_parts(tmp_path: Path, names: tuple[str, str]) -> None:
    checkpoint = opened(tmp_path / "a.pth", dict(zip(names, (trunk(), head()), strict=True)))
    assert list(checkpoint.joined) == [""]


@pytest.mark.parametrize(
    "value",
    [
        {"netG": trunk(), "netD": head()},
        {"generator": trunk(), "discriminator": head()},
        {"model": trunk(), "model_ema": trunk()},
        {"encoder": trunk(), "target_encoder": trunk()},
        {"encoder": trunk(), "encoder_k": trunk()},
        {"backbone": trunk(), "optimizer": {"state": {0: {"step": torch.ones(1)}}}},
        {"head": head(), "classifier": head()},
        {"model": trunk(), "state_dict": trunk(), "head": head()},
        {"model": head(), "decoder": trunk()},
        {"backbone": trunk(), "heads": {"labels": torch.arange(3)}},
        {"model": trunk(), "ema_head": head()},
        {"model": trunk(), "head_ema": head()},
        {"model": trunk(), "model2": head()},
        {"model": head(), "seg_head": trunk()},
        {"encoder": head(), "decoder1": head(), "decoder2": head()},
    ],
    ids="-".join,
)
def test_networks_that_are_not_one_are_never_joined(
    tmp_path: Path, value: Mapping[str, object]
) -> None:
    assert not opened(tmp_path / "a.pth", value).joined


@pytest.mark.parametrize("heads", [("age_head", "gender_head"), ("classifier1", "classifier2")])
def test_several_heads_beside_a_network_are_all_its_parts(
    tmp_path: Path, heads: tuple[str, str]
) -> None:
    large = nn.Sequential(nn.Linear(9, 9), nn.Linear(9, 3)).state_dict()
    checkpoint = opened(tmp_path / "a.pth", {"model": large, **{name: head() for name in heads}})
    assert list(checkpoint.state_dict()) == [
        *(f"model.{key}" for key in large),
        *(f"{name}.{key}" for name in heads for key in head()),
    ]


def test_the_average_of_a_network_in_parts_is_joined_by_itself(tmp_path: Path) -> None:
    parts = {"backbone": trunk(), "head": head()}
    checkpoint = opened(tmp_path / "a.pth", {"model": parts, "model_ema": parts})
    assert list(checkpoint.joined) == ["model", "model_ema"]
    assert checkpoint.best == "model"
    assert checkpoint.roles["model_ema"] == "ema"


def test_a_whole_model_is_preferred_to_the_same_in_parts(tmp_path: Path) -> None:
    whole = {f"backbone.{key}": value for key, value in trunk().items()}
    whole |= {f"head.{key}": value for key, value in head().items()}
    value = {"model": whole, "backbone": trunk(), "head": head()}
    assert opened(tmp_path / "a.pth", value).best == "model"


def test_tensors_next_to_the_parts_are_not_lost(tmp_path: Path) -> None:
    value = {"backbone": trunk(), "head": head(), "rng_state": torch.zeros(8, dtype=torch.uint8)}
    checkpoint = opened(tmp_path / "a.pth", value)
    assert "rng_state" in checkpoint.state_dict("")
    assert list(checkpoint.state_dicts) == ["", "backbone", "head"]
    assert list(checkpoint.state_dicts[""]) == ["rng_state"]


def test_pickled_modules_are_parts_too(tmp_path: Path) -> None:
    value = {"encoder": nn.Sequential(nn.Linear(4, 3)), "classifier": nn.Linear(3, 2)}
    checkpoint = opened(tmp_path / "a.pth", value)
    assert list(checkpoint.state_dict()) == [
        *("encoder.0.weight", "encoder.0.bias", "classifier.weight", "classifier.bias")
    ]
    assert checkpoint.state_dict().classes == {
        "encoder": "torch.nn.modules.container.Sequential",
        "encoder.0": "torch.nn.modules.linear.Linear",
        "classifier": "torch.nn.modules.linear.Linear",
    }


def test_an_export_with_all_writes_the_joined_tensors_once(tmp_path: Path) -> None:
    parts = {"backbone": trunk(), "head": head(), "name": "a"}
    optimizer = {"state": {0: {"exp_avg": torch.ones(3)}}}
    checkpoint = opened(tmp_path / "a.pth", {"net": parts, "optimizer": optimizer})
    state_dict = checkpoint.state_dict()
    repaired = apply_recipe(Recipe(), state_dict).state_dict
    export_state_dict(repaired, tmp_path / "b.pth", "pth", keep="all", checkpoint=checkpoint)
    written = torch.load(tmp_path / "b.pth", weights_only=True)
    assert list(written["net"]) == [*state_dict, "name"]
    assert torch.equal(written["optimizer"]["state"][0]["exp_avg"], torch.ones(3))
    assert set(export_sizes(repaired, "pth", checkpoint).others) == {"optimizer"}


def test_the_parts_of_a_compared_network_are_compared_once(tmp_path: Path) -> None:
    value = {"backbone": trunk(), "head": head(), "optimizer": {"state": {0: {"step": head()}}}}
    a = opened(tmp_path / "a.pth", value)
    b = opened(tmp_path / "b.pth", value)
    assert [other.path for other in other_tensors(a, b)] == ["optimizer.state.0.step"]
