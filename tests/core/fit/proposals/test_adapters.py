"""Files of peft: nothing is merged without an alpha, and the trained head is the head."""

from pathlib import Path

import peft
import pytest
import timm
import torch
from torch import nn

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.key_match import match
from core.fit.proposals import best_repair, propose
from core.fixes import (
    Drop,
    MergeLora,
    Recipe,
    RenameTable,
    StripPrefix,
    adapter_keys,
    unscaled_adapters,
)
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.fit.align.models import saved
from tests.core.plain_torch import file_of, signature_of

Tensors = dict[str, torch.Tensor]


def small_vit() -> nn.Module:
    options = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
    return timm.models.VisionTransformer(**options, num_classes=5)


@pytest.fixture(scope="module")
def adapted() -> tuple[Tensors, Tensors]:
    """What peft writes of an adapted network, and the same network after peft merged it."""
    torch.manual_seed(4)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["qkv"], modules_to_save=["head"])
    wrapped = peft.get_peft_model(small_vit(), config)
    with torch.no_grad():
        for name, tensor in wrapped.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                tensor.normal_()
    tensors = {key: value.clone() for key, value in wrapped.state_dict().items()}
    return tensors, wrapped.merge_and_unload().state_dict()


def repaired(file: StateDict, wanted: Signature) -> StateDict:
    return apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict


def test_without_an_alpha_all_but_the_adapted_layers_is_repaired(
    tmp_path: Path, adapted: tuple[Tensors, Tensors]
) -> None:
    tensors, merged = adapted
    file, wanted = saved(tmp_path, tensors), signature_of(small_vit())
    after = repaired(file, wanted)
    found = match(after, wanted)
    assert not found.fits
    assert {key.split(".", 2)[2] for key in found.missing_keys} == {
        "attn.qkv.weight",
        "attn.qkv.bias",
    }
    assert unscaled_adapters(after) == 2
    for key in found.matched:
        assert torch.equal(read_tensor(after[key]), merged[key]), key


def test_after_a_merge_with_its_alpha_it_is_what_peft_merges(
    tmp_path: Path, adapted: tuple[Tensors, Tensors]
) -> None:
    tensors, merged = adapted
    file, wanted = saved(tmp_path, tensors), signature_of(small_vit())
    with_alpha = apply_recipe(Recipe.of([MergeLora(8)]), file, wanted).state_dict
    after = repaired(with_alpha, wanted)
    assert match(after, wanted).fits
    for key, tensor in merged.items():
        torch.testing.assert_close(read_tensor(after[key]), tensor)


def test_the_module_that_was_trained_is_taken_and_never_the_original(tmp_path: Path) -> None:
    model = small_vit()
    tensors = {key: value for key, value in model.state_dict().items() if "head" not in key}
    for name, value in (("original_module", 1.0), ("modules_to_save.mine", 2.0)):
        tensors[f"head.{name}.weight"] = torch.full((5, 48), value)
        tensors[f"head.{name}.bias"] = torch.full((5,), value)
    file, wanted = saved(tmp_path, tensors), signature_of(model)
    (best, *others) = propose(file, wanted)
    assert best.why == (
        "`head` was trained anew in `modules_to_save.mine`, as peft's modules_to_save are; its "
        "`original_module` is what it was before."
    )
    assert best.fixes == (
        Drop(r"(^|\.)original_module\.", "regex"),
        StripPrefix("modules_to_save.mine.", anywhere=True),
    )
    for proposal in (best, *others):
        after = apply_recipe(Recipe.of(proposal.fixes), file, wanted).state_dict
        if "head.weight" in after:
            assert float(read_tensor(after["head.weight"]).mean()) == 2.0


def test_of_two_trained_modules_none_is_chosen() -> None:
    model = small_vit()
    tensors = {key: value for key, value in model.state_dict().items() if "head" not in key}
    for name in ("original_module", "modules_to_save.a", "modules_to_save.b"):
        tensors |= {f"head.{name}.weight": torch.zeros(5, 48), f"head.{name}.bias": torch.zeros(5)}
    wanted = signature_of(model)
    steps = best_repair(file_of(tensors), wanted).recipe.steps
    assert not any(isinstance(step.fix, StripPrefix | RenameTable) for step in steps)
    assert not match(repaired(file_of(tensors), wanted), wanted).fits


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("alpha", [False, True])
def test_adapters_beside_weights_that_fit_are_merged_or_left_and_never_dropped(
    tmp_path: Path, prefix: str, alpha: bool
) -> None:
    model = small_vit()
    tensors = {f"{prefix}{key}": value for key, value in model.state_dict().items()}
    layer, a, b = f"{prefix}blocks.0.attn.qkv", torch.randn(2, 48), torch.randn(144, 2)
    base = tensors[f"{layer}.weight"]
    tensors |= {f"{layer}.lora_A": a, f"{layer}.lora_B": b}
    tensors |= {f"{layer}.alpha": torch.tensor(6.0)} if alpha else {}
    file, wanted = saved(tmp_path, tensors), signature_of(model)
    after = repaired(file, wanted)
    assert match(after, wanted).fits == alpha
    assert bool(adapter_keys(after)) != alpha
    if alpha:
        weight = read_tensor(after["blocks.0.attn.qkv.weight"])
        torch.testing.assert_close(weight, base + 3 * b @ a)


def test_several_adapters_of_one_weight_are_neither_merged_nor_dropped(tmp_path: Path) -> None:
    model = small_vit()
    tensors = dict(model.state_dict())
    for name in ("a", "b"):
        tensors[f"blocks.0.attn.qkv.lora_A.{name}.weight"] = torch.zeros(2, 48)
        tensors[f"blocks.0.attn.qkv.lora_B.{name}.weight"] = torch.zeros(144, 2)
    file, wanted = saved(tmp_path, tensors), signature_of(model)
    after = repaired(file, wanted)
    assert len(adapter_keys(after)) == 4
    assert not match(after, wanted).fits
