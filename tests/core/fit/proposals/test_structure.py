"""Tensors that the file stores in another number of parts than the model."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from core.fit.key_match import match
from core.fit.proposals import best_repair, propose
from core.fixes import ZEROS, Fuse
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.fit.align.models import saved
from tests.core.fit.renamed_networks import own_biases
from tests.core.plain_torch import file_of, signature_of

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def vit() -> nn.Module:
    """A small ViT whose k has a bias of zeros, and random biases elsewhere."""
    torch.manual_seed(3)
    model = timm.create_model("test_vit", num_classes=4)
    for key, tensor in model.state_dict().items():
        if key.endswith("bias"):
            tensor.normal_()
        if key.endswith("qkv.bias"):
            tensor.chunk(3)[1].zero_()
    return model


def apart(model: nn.Module, names: tuple[str, str, str]) -> Tensors:
    """The weights with three projections, of which k's has no bias, as Whisper writes them."""
    tensors: Tensors = {}
    for key, value in model.state_dict().items():
        found = re.fullmatch(r"(.*)(?:qkv\.|in_proj_)(weight|bias)", key)
        if found is None:
            tensors[key] = value
            continue
        parts = zip(names, value.chunk(3), strict=True)
        here = {f"{found[1]}{name}.{found[2]}": part.clone() for name, part in parts}
        here.pop(f"{found[1]}{names[1]}.bias", None)
        tensors |= here
    return tensors


def own_attention(model: nn.Module, parts: Mapping[str, slice]) -> Tensors:
    """The weights with each fused layer cut into `parts`, under one person's names of modules."""
    tensors: Tensors = {}
    for key, value in model.state_dict().items():
        path, fused, leaf = key.partition("attn.qkv.")
        if fused:
            width = len(value) // 3
            for name, rows in parts.items():
                own = value[rows.start * width : rows.stop * width].clone()
                tensors[f"{path}sa.{name}.{leaf}"] = own
        else:
            tensors[key.replace("attn.proj", "sa.o")] = value
    return tensors


def trained(model: nn.Module) -> nn.Module:
    """The model with other numbers in every tensor, the biases of k included."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.normal_()
    return model


def assert_repaired(folder: Path, tensors: Tensors, model: nn.Module) -> None:
    file, wanted = saved(folder, tensors), signature_of(model)
    repaired = apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict
    assert match(repaired, wanted).fits
    for key, tensor in model.state_dict().items():
        assert torch.equal(read_tensor(repaired[key]), tensor), key


@pytest.mark.parametrize("prefix", ["", "module.visual."])
def test_biases_of_q_and_v_alone_are_fused_with_zeros(
    tmp_path: Path, vit: nn.Module, prefix: str
) -> None:
    tensors = {f"{prefix}{key}": value for key, value in own_biases(vit.state_dict()).items()}
    assert_repaired(tmp_path, tensors, vit)


def test_the_proposal_says_what_the_zeros_are_for(vit: nn.Module) -> None:
    (best, *_) = propose(file_of(own_biases(vit.state_dict())), signature_of(vit))
    assert best.title == "Fuse `q_bias`, zeros, `v_bias` into `qkv.bias`"
    assert best.why == (
        "The file has `q_bias` and `v_bias` but no bias for k, where the model has one "
        "`qkv.bias`: zeros in the place of k's bias compute the same as none."
    )


@pytest.mark.parametrize("names", [("q_proj", "k_proj", "v_proj"), ("query", "key", "value")])
def test_three_projections_of_which_k_has_no_bias_are_fused(
    tmp_path: Path, vit: nn.Module, names: tuple[str, str, str]
) -> None:
    assert_repaired(tmp_path, apart(vit, names), vit)
    attention = nn.ModuleDict({"attn": nn.MultiheadAttention(8, 2), "out": nn.Linear(8, 8)})
    with torch.no_grad():
        attention["attn"].in_proj_bias.normal_().chunk(3)[1].zero_()
    assert_repaired(tmp_path, apart(attention, names), attention)


def test_where_the_file_has_a_bias_for_k_no_zeros_take_its_place(vit: nn.Module) -> None:
    tensors = own_biases(vit.state_dict())
    width = tensors["blocks.0.attn.q_bias"].shape
    for name in ("k_bias", "key_bias", "k.bias"):
        file = file_of({**tensors, f"blocks.0.attn.{name}": torch.ones(width)})
        fixes = [step.fix for step in best_repair(file, signature_of(vit)).recipe.steps]
        assert not any(isinstance(fix, Fuse) and ZEROS in fix.parts for fix in fixes)


def biases_apart(weights: Tensors) -> Tensors:
    """Biases of q, v and k, in this order, beside the fused weight of all three."""
    tensors: Tensors = {}
    for key, value in weights.items():
        path, fused, _ = key.partition("qkv.bias")
        names = ("q_bias", "k_bias", "v_bias")
        parts = dict(zip(names, value.chunk(3), strict=True)) if fused else {}
        for name in sorted(parts, key=lambda name: "qvk".index(name[0])):
            tensors[f"{path}{name}"] = parts[name].clone()
        if not fused:
            tensors[key] = value
    return tensors


@pytest.mark.parametrize("prefix", ["", "module.visual."])
def test_biases_of_q_k_and_v_beside_a_fused_weight_are_fused(
    tmp_path: Path, vit: nn.Module, prefix: str
) -> None:
    apart_in_file = biases_apart(trained(vit).state_dict())
    tensors = {f"{prefix}{key}": value for key, value in apart_in_file.items()}
    assert_repaired(tmp_path, tensors, vit)


def test_biases_of_torch_s_fused_attention_are_fused_too(tmp_path: Path) -> None:
    attention = nn.ModuleDict({"attn": nn.MultiheadAttention(8, 2), "out": nn.Linear(8, 8)})
    tensors = dict(trained(attention).state_dict())
    bias = tensors.pop("attn.in_proj_bias")
    parts = zip("qkv", bias.chunk(3), strict=True)
    tensors |= {f"attn.{name}_bias": part.clone() for name, part in reversed([*parts])}
    assert_repaired(tmp_path, tensors, attention)


def test_where_one_block_alone_has_no_bias_for_k_no_zeros_take_its_place(vit: nn.Module) -> None:
    tensors = biases_apart(trained(vit).state_dict())
    del tensors["blocks.1.attn.k_bias"]
    file, wanted = file_of(tensors), signature_of(vit)
    repaired = apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict
    assert match(repaired, wanted).missing_keys == ("blocks.1.attn.qkv.bias",)


@pytest.mark.parametrize(
    "parts",
    [
        {"keys": slice(1, 2), "values": slice(2, 3), "queries": slice(0, 1)},
        {"to_kv": slice(1, 3), "to_q": slice(0, 1)},
        {"q": slice(0, 1), "kv": slice(1, 3)},
        {"kv_proj": slice(1, 3), "q_proj": slice(0, 1)},
    ],
)
def test_parts_of_attention_are_fused_in_the_model_s_order(
    tmp_path: Path, vit: nn.Module, parts: Mapping[str, slice]
) -> None:
    assert_repaired(tmp_path, own_attention(trained(vit), parts), vit)


def test_q_beside_k_and_v_are_fused_into_torch_s_attention(tmp_path: Path) -> None:
    attention = nn.ModuleDict({"attn": nn.MultiheadAttention(8, 2), "out": nn.Linear(8, 8)})
    tensors: Tensors = {}
    for key, value in trained(attention).state_dict().items():
        path, fused, leaf = key.partition("in_proj_")
        if fused:
            tensors |= {f"{path}to_q.{leaf}": value[:8].clone()}
            tensors |= {f"{path}to_kv.{leaf}": value[8:].clone()}
        else:
            tensors[key] = value
    assert_repaired(tmp_path, tensors, attention)


@pytest.mark.parametrize(
    "parts",
    [
        {"to_q": slice(0, 1), "to_vk": slice(1, 3)},
        {"to_q": slice(0, 1), "key_value": slice(1, 3)},
        {"to_k": slice(0, 1), "to_qv": slice(1, 3)},
        {"theta": slice(0, 1), "phi": slice(1, 2), "g": slice(2, 3)},
        {"lin1": slice(0, 1), "lin2": slice(1, 2), "lin3": slice(2, 3)},
    ],
)
def test_parts_whose_names_do_not_say_their_order_are_not_fused(
    vit: nn.Module, parts: Mapping[str, slice]
) -> None:
    file, wanted = file_of(own_attention(trained(vit), parts)), signature_of(vit)
    repaired = apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict
    assert "blocks.0.attn.qkv.weight" in match(repaired, wanted).missing_keys


def test_an_attention_that_shares_k_and_v_among_its_heads_is_not_the_model_s(
    vit: nn.Module,
) -> None:
    tensors = own_attention(vit, {"to_q": slice(0, 1), "to_kv": slice(1, 2)})
    file, wanted = file_of(tensors), signature_of(vit)
    repaired = apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict
    assert not match(repaired, wanted).fits
