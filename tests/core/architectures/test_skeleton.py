"""What no file fills is initialised as the model itself does it, and nothing else is touched."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from core.architectures.construct import build, signature
from core.architectures.registry import Architecture, catalogue, parse_architecture
from core.architectures.skeleton import UninitialisedParameters
from core.checkpoint import open_checkpoint
from core.load import LoadedModel, load_model

pytestmark = pytest.mark.slow


def without(
    folder: Path, architecture: Architecture, *left_out: str
) -> tuple[LoadedModel, Mapping[str, torch.Tensor]]:
    """The model loaded from a file that lacks these keys, and what was in the file."""
    tensors = {
        key: torch.full_like(tensor, 5)
        for key, tensor in build(architecture).state_dict().items()
        if key not in left_out
    }
    torch.save(tensors, folder / "part.pth")
    state_dict = open_checkpoint(folder / "part.pth").state_dict()
    return load_model(state_dict, architecture, strict=False), tensors


@pytest.mark.parametrize(
    ("key", "missing"),
    [
        ("timm:deit3_small_patch16_224", ("blocks.0.ls1.gamma", "cls_token", "head.weight")),
        ("torchvision:swin_t", ("head.weight", "features.0.0.weight", "norm.weight")),
        ("torchvision:convnext_tiny", ("classifier.2.weight", "features.1.0.layer_scale")),
        ("torchvision:densenet121", ("classifier.bias", "features.norm0.running_var")),
        ("torchvision:raft_small", ("update_block.flow_head.conv2.weight",)),
        ("timm:test_vit", ("pos_embed", "head.bias", "norm.weight", "cls_token")),
        ("timm:beit_base_patch16_224", ("blocks.0.gamma_1", "blocks.11.mlp.fc2.weight")),
        ("timm:efficientnet_b0", ("classifier.weight", "conv_stem.weight", "bn1.bias")),
        ("timm:xcit_nano_12_p16_224", ("blocks.0.gamma1", "cls_token", "head.weight")),
    ],
)
def test_what_is_missing_is_distributed_as_in_a_new_model(
    tmp_path: Path, key: str, missing: tuple[str, ...]
) -> None:
    architecture = parse_architecture(key)
    torch.manual_seed(0)
    fresh = build(architecture).state_dict()
    loaded, tensors = without(tmp_path, architecture, *missing)
    found = loaded.model.state_dict()
    assert set(loaded.initialised) == set(missing)
    for name in missing:
        wanted = fresh[name]
        if wanted.unique().numel() == 1:
            assert torch.equal(found[name], wanted), name
        else:
            error = 5 * wanted.std().item() / wanted.numel() ** 0.5
            assert found[name].mean().item() == pytest.approx(wanted.mean().item(), abs=2 * error)
            assert found[name].std().item() == pytest.approx(
                wanted.std().item(), rel=max(0.02, 5 / wanted.numel() ** 0.5)
            )
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor), name


def test_only_what_is_missing_takes_random_numbers() -> None:
    """As many as a Linear of its own: none for the other 11 million parameters."""
    architecture = parse_architecture("torchvision:resnet18")
    wanted = signature(architecture)
    torch.manual_seed(0)
    with UninitialisedParameters({wanted["fc.weight"].shape, wanted["fc.bias"].shape}):
        model = build(architecture)
    after = torch.get_rng_state()
    torch.manual_seed(0)
    alone = nn.Linear(512, 1000)
    assert torch.equal(torch.get_rng_state(), after)
    assert torch.equal(model.fc.weight, alone.weight)


OWN = """
import numpy as np
import torch
from torch import nn


class Copied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        nn.init.ones_(self.first.weight)
        self.second = nn.Parameter(self.first.weight.detach()[:2] * 3)
        self.register_buffer("total", self.first.weight.detach().sum(), persistent=False)


class Looked(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        nn.init.ones_(self.first.weight)
        self.scale = float(self.first.weight.sum())


class Twos(nn.Module):  # and what is found from them, which no file holds
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        nn.init.constant_(self.first.weight, 2.0)
        self.found = self.find(self.first.weight.detach())

    def find(self, weight):
        raise NotImplementedError


class Attribute(Twos):
    def find(self, weight):
        return weight * 3


class AttributeInAList(Twos):
    def find(self, weight):
        return {"scales": [weight * 3]}


class PartOfAnother(Twos):
    def find(self, weight):
        table = torch.zeros(4, 4)
        table[0] = weight[0]
        return table


class OutOfAnother(Twos):
    def find(self, weight):
        table = torch.zeros(4, 4)
        torch.mul(weight, 3, out=table)
        return table


class ListOfOthers(Twos):
    def find(self, weight):
        tables = [torch.zeros(4, 4), torch.ones(4, 4)]
        torch._foreach_add_(tables, [weight, weight])
        return tables


class Numpy(Twos):
    def find(self, weight):
        return float(np.asarray(weight).sum())


class NumpyItself(Twos):
    def find(self, weight):
        return torch.tensor(weight.numpy() * 3)


class Listed(Twos):
    def find(self, weight):
        return weight.tolist()


class Contained(Twos):
    def find(self, weight):
        return 2.0 in weight


class Counted(Twos):
    def find(self, weight):
        return len(weight.nonzero())


class Different(Twos):
    def find(self, weight):
        return len(weight.unique())


class Masked(Twos):
    def find(self, weight):
        return len(weight[weight > 1])


class Single(Twos):
    def find(self, weight):
        return torch.is_nonzero(weight[0, 0])


@torch.jit.script
def thrice(weight: torch.Tensor) -> torch.Tensor:
    return weight * 3


class Scripted(Twos):
    def find(self, weight):
        return thrice(weight)


class Mapped(Twos):
    def find(self, weight):
        return torch.func.vmap(lambda row: row * 3)(weight)


class WrittenByNumpy(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.first.weight.data.numpy()[:] = 2
        self.found = self.first.weight.detach().sum()


class Shaped(Twos):
    def find(self, weight):
        assert weight.ndim == 2 and weight.shape[0] == 4 and weight.is_contiguous()
        self.register_buffer("zeros", torch.zeros_like(weight), persistent=False)
        self.flat_weights = [self.first.weight, self.first.bias]
        return weight[torch.tensor([0, 1])].shape, weight.new_ones(2)


class Sized(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3)
        self.second = nn.Linear(self.first(torch.zeros(1, 3, 8, 8)).flatten(1).shape[1], 2)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Architecture]:
    (tmp_path / "skeleton_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return {
        each.name.partition(".")[2]: each
        for each in catalogue(("skeleton_models",))
        if each.library == "own"
    }


def test_what_a_constructor_computes_from_a_parameter_comes_out_right(
    tmp_path: Path, own: Mapping[str, Architecture]
) -> None:
    loaded, _ = without(tmp_path, own["Copied"], "second")
    assert torch.equal(loaded.model.second, torch.full((2, 4), 3.0))
    assert loaded.model.total.item() == 16
    assert torch.equal(loaded.model.first.weight, torch.full((4, 4), 5.0))


def test_a_number_that_a_constructor_takes_from_a_parameter_comes_out_right(
    tmp_path: Path, own: Mapping[str, Architecture]
) -> None:
    loaded, _ = without(tmp_path, own["Looked"])
    assert loaded.model.scale == 16


def test_a_forward_pass_for_its_sizes_alone_is_no_reason_to_initialise(
    own: Mapping[str, Architecture],
) -> None:
    before = torch.get_rng_state()
    mode = UninitialisedParameters()
    with mode:
        model = build(own["Sized"])
    assert mode.vouches_for(model, set(model.state_dict()))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "key", ["torchvision:ssd300_vgg16", "torchvision:maxvit_t", "timm:levit_128s"]
)
def test_the_libraries_own_networks_are_built_without_their_initialisation(key: str) -> None:
    architecture = parse_architecture(key)
    mode = UninitialisedParameters()
    with mode:
        model = build(architecture)
    assert mode.vouches_for(model, set(model.state_dict()))


def values(found: object) -> object:
    """Tensors as lists, so that what holds them can be compared."""
    if isinstance(found, torch.Tensor):
        return found.tolist()
    if isinstance(found, Mapping):
        return {key: values(value) for key, value in found.items()}
    return [values(value) for value in found] if isinstance(found, list | tuple) else found


LOOKING = (
    "Attribute",
    "AttributeInAList",
    "PartOfAnother",
    "OutOfAnother",
    "ListOfOthers",
    "Numpy",
    "NumpyItself",
    "Listed",
    "Contained",
    "Counted",
    "Different",
    "Masked",
    "Single",
    "Scripted",
    "Mapped",
    "WrittenByNumpy",
)


@pytest.mark.parametrize("name", LOOKING)
def test_however_a_constructor_looks_at_a_parameter_it_sees_the_values_of_its_own(
    tmp_path: Path, own: Mapping[str, Architecture], name: str
) -> None:
    wanted = build(own[name])
    loaded, tensors = without(tmp_path, own[name])
    assert values(loaded.model.found) == values(wanted.found)
    for key, tensor in tensors.items():
        assert torch.equal(loaded.model.state_dict()[key], tensor), key


def test_a_look_at_sizes_alone_is_no_reason_to_initialise(
    own: Mapping[str, Architecture],
) -> None:
    before = torch.get_rng_state()
    mode = UninitialisedParameters()
    with mode:
        model = build(own["Shaped"])
    assert mode.vouches_for(model, set(model.state_dict()))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(model.zeros, torch.zeros(4, 4))
