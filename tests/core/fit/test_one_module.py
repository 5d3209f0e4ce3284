"""A layer of a model gets its tensors from one module of the file, or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from core.architectures import parse_architecture, signature
from core.checkpoint import StateDict, open_checkpoint
from core.fit import match, torn_layers
from core.fit.align import align
from core.fit.identify import identify
from core.fit.index import Lookup
from core.fit.proposals import best_repair, propose
from core.fixes import Fuse, Recipe, RenameTable, Split
from core.recipe import apply_recipe

TEN = signature(parse_architecture("torchvision:resnet18?num_classes=10"))


def saved(path: Path, tensors: dict[str, Tensor]) -> StateDict:
    torch.save(tensors, path)
    return open_checkpoint(path).state_dict()


def resnet(classes: int = 10) -> dict[str, Tensor]:
    return dict(torchvision.models.resnet18(num_classes=classes).state_dict())


def bias_of_another_head() -> dict[str, Tensor]:
    tensors = resnet()
    tensors["classifier.bias"] = tensors.pop("fc.bias")
    return tensors


def weight_of_another_head() -> dict[str, Tensor]:
    tensors = resnet()
    tensors["classifier.weight"] = tensors.pop("fc.weight")
    return tensors


def two_half_heads_beside() -> dict[str, Tensor]:
    tensors = {f"backbone.{key}": value for key, value in resnet().items() if "fc" not in key}
    return tensors | {"head.a.weight": torch.ones(10, 512), "head.b.bias": torch.ones(10)}


def two_half_heads_renamed() -> dict[str, Tensor]:
    tensors = {
        f"net.{key.replace('layer', 'stage')}": value
        for key, value in resnet().items()
        if "fc" not in key
    }
    return tensors | {"head_a.weight": torch.ones(10, 512), "head_b.bias": torch.ones(10)}


def two_half_heads_of_one_name() -> dict[str, Tensor]:
    tensors = {f"backbone.{key}": value for key, value in resnet().items() if "fc" not in key}
    return tensors | {"a.fc.weight": torch.ones(10, 512), "b.fc.bias": torch.ones(10)}


def bias_apart() -> dict[str, Tensor]:
    tensors = {f"backbone.{key}": value for key, value in resnet().items()}
    tensors["head.fc.bias"] = tensors.pop("backbone.fc.bias")
    return tensors


def bias_of_another_norm() -> dict[str, Tensor]:
    tensors = resnet()
    tensors["layer1.0.bnx.bias"] = tensors.pop("layer1.0.bn1.bias")
    return tensors


TORN = [
    bias_of_another_head,
    weight_of_another_head,
    two_half_heads_beside,
    two_half_heads_renamed,
    two_half_heads_of_one_name,
    bias_apart,
    bias_of_another_norm,
]


@pytest.mark.parametrize("tensors", TORN)
def test_no_repair_joins_the_halves_of_two_layers(
    lookup: Lookup, tmp_path: Path, tensors: Callable[[], dict[str, Tensor]]
) -> None:
    state_dict = saved(tmp_path / "a.pth", tensors())
    recipes = [(best_repair(state_dict, TEN).recipe, TEN), (align(state_dict, TEN).recipe, TEN)]
    recipes += [(Recipe.of(each.fixes), TEN) for each in propose(state_dict, TEN)]
    recipes += [
        (candidate.recipe, signature(candidate.architecture))
        for candidate in identify(state_dict, lookup).candidates[:2]
    ]
    for recipe, wanted in recipes:
        repaired = apply_recipe(recipe, state_dict, wanted).state_dict
        assert not torn_layers(repaired, wanted)
        if wanted is TEN:
            assert not match(repaired, wanted).fits


def test_a_torn_layer_is_found_and_named(tmp_path: Path) -> None:
    state_dict = saved(tmp_path / "a.pth", bias_of_another_head())
    recipe = Recipe.of([RenameTable((("classifier.bias", "fc.bias"),))])
    repaired = apply_recipe(recipe, state_dict, TEN).state_dict
    (torn,) = torn_layers(repaired, TEN)
    assert torn.layer == "fc"
    assert torn.sentence == (
        "`fc` would get its tensors from `fc` and `classifier`, which are different layers."
    )


def test_a_layer_under_another_name_is_whole(tmp_path: Path) -> None:
    tensors = resnet()
    renamed = {f"module.{key.replace('fc.', 'head.1.')}": value for key, value in tensors.items()}
    state_dict = saved(tmp_path / "a.pth", renamed)
    repaired = apply_recipe(best_repair(state_dict, TEN).recipe, state_dict, TEN).state_dict
    assert match(repaired, TEN).fits
    assert not torn_layers(repaired, TEN)


def attention(names: tuple[str, ...]) -> dict[str, Tensor]:
    return dict(nn.ModuleDict({name: nn.Linear(8, 8) for name in names}).state_dict())


def test_a_layer_that_was_fused_or_split_is_whole(tmp_path: Path) -> None:
    model = timm.layers.Attention(8, num_heads=2, qkv_bias=True)
    wanted = {f"attn.{key}": value for key, value in model.state_dict().items()}
    apart = saved(tmp_path / "a.pth", attention(("q", "k", "v", "proj")))
    fused = apply_recipe(Recipe.of([Fuse(("q", "k", "v"), "qkv")]), apart).state_dict
    whole = saved(tmp_path / "b.pth", {key.removeprefix("attn."): v for key, v in wanted.items()})
    split = apply_recipe(Recipe.of([Split("qkv", ("q", "k", "v"))]), whole).state_dict
    for repaired in (fused, split):
        assert len(repaired) > 2
        assert not torn_layers(repaired, repaired)  # type: ignore[arg-type]  # its keys alone


def test_biases_of_parts_beside_a_fused_weight_are_whole(tmp_path: Path) -> None:
    # BEiT has one weight for q, k and v, and biases of q and v alone.
    tensors = {"qkv.weight": torch.ones(12, 4), "q_bias": torch.ones(4), "v_bias": torch.ones(4)}
    state_dict = saved(tmp_path / "a.pth", {f"attn.{key}": tensors[key] for key in tensors})
    table = (("attn.q_bias", "attn.qkv.bias"),)
    repaired = apply_recipe(Recipe.of([RenameTable(table)]), state_dict).state_dict
    assert not torn_layers(repaired, repaired)  # type: ignore[arg-type]  # its keys alone


@pytest.mark.parametrize(
    "name",
    ["projector", "prototypes", "momentum_projector", "projection", "img_proj", "proj_out"],
)
def test_a_projection_is_never_a_head(lookup: Lookup, tmp_path: Path, name: str) -> None:
    tensors = {f"enc.{key}": value for key, value in resnet().items() if "fc" not in key}
    tensors |= {f"{name}.weight": torch.ones(10, 512), f"{name}.bias": torch.ones(10)}
    state_dict = saved(tmp_path / "a.pth", tensors)
    repaired = apply_recipe(best_repair(state_dict, TEN).recipe, state_dict, TEN).state_dict
    assert match(repaired, TEN).missing_keys == ("fc.weight", "fc.bias")
    best = identify(state_dict, lookup).candidates[0]
    assert dict(best.architecture.options) == {"num_classes": 0}
