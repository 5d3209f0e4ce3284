"""A model that is made again without its constructor is the one that the constructor makes."""

import gc
import weakref
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.plain_outputs import difference
from core.architectures.blueprints import Blueprint, Blueprints, blueprint_of
from core.architectures.construct import (
    blueprint,
    build,
    build_uninitialised,
    signature,
    signature_of,
)
from core.architectures.registry import Architecture, catalogue, parse_architecture
from core.architectures.skeleton import WeightsOnMeta
from core.checkpoint import open_checkpoint
from core.load import load_model

pytestmark = pytest.mark.slow

OF_MANY_LAYERS = (
    "torchvision:efficientnet_b0",
    "torchvision:densenet121",
    "torchvision:regnet_y_400mf",
    "torchvision:mobilenet_v3_large",
    "torchvision:shufflenet_v2_x0_5",
    "torchvision:mnasnet0_5",
    "timm:efficientnet_b0",
    "timm:regnety_002",
)


def blueprint_for(key: str) -> Blueprint:
    found = blueprint(parse_architecture(key))
    assert found is not None
    return found


@pytest.mark.parametrize("key", OF_MANY_LAYERS)
def test_a_network_of_many_layers_is_made_again_as_its_constructor_makes_it(key: str) -> None:
    wanted, made = build_uninitialised(parse_architecture(key)), blueprint_for(key).model()
    assert repr(made) == repr(wanted)
    assert signature_of(made) == signature_of(wanted) == signature(parse_architecture(key))
    assert not any(module.training for module in made.modules())
    for name, module in wanted.named_modules():
        assert vars(made.get_submodule(name)).keys() == vars(module).keys()
    for name, buffer in wanted.named_buffers():
        assert torch.equal(made.get_buffer(name), buffer), name
    for name, parameter in wanted.named_parameters():
        found = made.get_parameter(name)
        assert (found.requires_grad, found.stride()) == (
            parameter.requires_grad,
            parameter.stride(),
        )


@pytest.mark.parametrize("key", OF_MANY_LAYERS)
def test_loaded_again_and_again_it_gives_the_outputs_of_plain_torch(
    tmp_path: Path, key: str
) -> None:
    for _ in range(2):
        assert difference(parse_architecture(key), tmp_path / "model.pth") == ""


def test_two_models_of_a_blueprint_share_no_memory() -> None:
    made = blueprint_for("torchvision:shufflenet_v2_x0_5")
    one, other = made.model(), made.model()
    with torch.no_grad():
        for tensor in (*one.parameters(), *one.buffers()):
            tensor.fill_(3)
    assert torch.equal(other.conv1[1].running_mean, torch.zeros(24))
    assert torch.equal(made.model().conv1[1].running_var, torch.ones(24))


def test_what_a_file_lacks_is_initialised_even_where_a_blueprint_is_known(tmp_path: Path) -> None:
    architecture = parse_architecture("torchvision:shufflenet_v2_x0_5")
    tensors = build(architecture).state_dict()
    del tensors["fc.weight"], tensors["conv1.1.weight"]
    torch.save(tensors, tmp_path / "part.pth")
    assert not blueprint_for(architecture.key).serves(tensors.keys())
    state_dict = open_checkpoint(tmp_path / "part.pth").state_dict()
    loaded = load_model(state_dict, architecture, strict=False)
    assert loaded.initialised == ("conv1.1.weight", "fc.weight")
    assert torch.equal(loaded.model.conv1[1].weight, torch.ones(24))
    assert loaded.model.fc.weight.abs().max().item() == pytest.approx(1024**-0.5, rel=0.01)


def test_buffers_that_a_file_lacks_have_the_constructors_values(tmp_path: Path) -> None:
    architecture = parse_architecture("torchvision:shufflenet_v2_x0_5")
    tensors = build(architecture).state_dict()
    for key in [key for key in tensors if key.endswith(("num_batches_tracked", "running_var"))]:
        del tensors[key]
    torch.save(tensors, tmp_path / "old.pth")
    state_dict = open_checkpoint(tmp_path / "old.pth").state_dict()
    for _ in range(2):
        model = load_model(state_dict, architecture, strict=False).model
        assert torch.equal(model.conv1[1].running_var, torch.ones(24))
        assert model.conv1[1].num_batches_tracked == 0
        model.conv1[1].running_var.zero_()


OWN = """
import itertools
from torch import nn

NUMBERS = itertools.count()


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)
        self.number = next(NUMBERS)
"""


def test_an_owners_own_constructor_runs_for_each_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counting_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    (own,) = (each for each in catalogue(("counting_models:Counting",)) if each.library == "own")
    torch.save(nn.Linear(2, 2).state_dict(prefix="head."), tmp_path / "model.pth")
    state_dict = open_checkpoint(tmp_path / "model.pth").state_dict()
    assert blueprint(own) is None
    numbers = [load_model(state_dict, own).model.number for _ in range(3)]
    assert numbers == sorted(set(numbers))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.all = [self.first.weight, self.second.bias]


class FromAWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)
        self.register_buffer("found", self.head.weight.detach() * 2)


class PartOfAWeight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)
        self.row = nn.Parameter(self.head.weight.detach()[0])


class Drawn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(3).uniform_())


class DrawnAtOnce(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(3))


class Nameless(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = lambda x: x * 2


class MadeWithValues(nn.Module):
    """Initialised in two steps, of which the first is none of torch.nn.init."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(3))
        nn.init.normal_(self.token)


class Hiding(nn.Module):
    """A parameter that is in no state_dict, so that no file fills it."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Parameter(torch.empty(3))]


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(6.0))
        self.register_buffer("part", self.table[:3])


def of(make: type[nn.Module]) -> Blueprint | None:
    mode = WeightsOnMeta()
    with mode:
        model = make()
    return None if mode.drew or mode.left_out else blueprint_of(model)


def test_tied_parameters_stay_tied_wherever_they_are_held() -> None:
    found = of(Tied)
    assert found is not None
    made = found.model()
    assert made.first.weight is made.second.weight
    assert made.all[0] is made.first.weight
    assert made.all[1] is made.second.bias
    assert found.serves({"second.weight", "first.bias", "second.bias"})
    assert not found.serves({"first.weight", "first.bias"})


@pytest.mark.parametrize(
    "make",
    [FromAWeight, PartOfAWeight, Drawn, DrawnAtOnce, Nameless, MadeWithValues, Hiding, Views],
)
def test_what_cannot_be_made_again_exactly_has_no_blueprint(make: type[nn.Module]) -> None:
    assert of(make) is None


def test_to_tell_keys_draws_no_random_numbers() -> None:
    architecture = Architecture("timm", "vit_tiny_patch16_224", (("num_classes", 3),))
    before = torch.get_rng_state()
    specs: Mapping[str, object] = signature(architecture)
    assert specs
    assert torch.equal(torch.get_rng_state(), before)


def test_blueprints_are_bounded_and_the_least_recently_used_goes() -> None:
    one = of(Tied)
    assert one is not None
    known = Blueprints(max_bytes=4 * (one.nbytes + 1024))
    for key in "abcd":
        known.put(key, one)
    assert known.get("a") is one
    known.put("e", one)
    assert [key in known for key in "abcde"] == [True, False, True, True, True]
    for number in range(10_000):
        known.put(f"none {number}", None)
    assert sum(f"none {number}" in known for number in range(10_000)) <= 4 * one.nbytes // 1024 + 4
    assert "a" not in known


def test_a_model_is_freed_as_soon_as_nobody_has_it_any_more() -> None:
    made = blueprint_for("torchvision:shufflenet_v2_x0_5")
    made.model()  # what is made once, such as the classes' own caches
    gc.collect()
    gc.disable()  # not every Python's collector frees what a pickle's reader holds
    try:
        model = weakref.ref(made.model())
        assert model() is None
    finally:
        gc.enable()
