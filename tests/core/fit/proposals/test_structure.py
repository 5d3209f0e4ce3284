"""Tensors that the file stores in another number of parts than the model."""

import re
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
