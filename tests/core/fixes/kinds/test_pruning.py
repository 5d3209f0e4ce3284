"""Pruning masks: applied as torch.nn.utils.prune applies them."""

from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import prune
from torchvision.models import resnet18

from core.architectures import Architecture, signature
from core.fit import fit_of
from core.fit.proposals import best_repair
from core.fixes import ApplyMasks
from core.recipe import apply_recipe
from tests.core.fixes.files import applied, assert_tensors, saved


def pruned(model: nn.Module) -> nn.Module:
    """The model with each convolution and the last layer's weight and bias pruned."""
    for module in [*model.modules()]:
        if isinstance(module, nn.Conv2d):
            prune.random_unstructured(module, "weight", 0.3)
        elif isinstance(module, nn.Linear):
            prune.ln_structured(module, "weight", 0.5, 2, 0)
            prune.random_unstructured(module, "bias", 0.5)
    return model


def without_masks(model: nn.Module) -> nn.Module:
    """The model after torch has made its pruning permanent."""
    for module in [*model.modules()]:
        for name in ("weight", "bias"):
            if hasattr(module, f"{name}_mask"):
                prune.remove(module, name)
    return model


def test_masks_are_applied_as_torch_applies_them(tmp_path: Path) -> None:
    model = pruned(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ModuleDict({"a": nn.Linear(4, 6)})))
    after = applied(saved(tmp_path, model.state_dict()), ApplyMasks())
    assert_tensors(after.state_dict, without_masks(model).state_dict())
    assert after.effects[0].sentence == "3 masks applied."


def test_a_pruned_network_fits_exactly(tmp_path: Path) -> None:
    model = pruned(resnet18())
    file = saved(tmp_path, model.state_dict())
    wanted = signature(Architecture("torchvision", "resnet18"))
    recipe = best_repair(file, wanted).recipe
    assert [step.fix for step in recipe.steps] == [ApplyMasks()]
    repaired = apply_recipe(recipe, file, wanted).state_dict
    assert fit_of(file, repaired, wanted).fits
    whole = without_masks(model).state_dict()
    assert_tensors(repaired, {key: whole[key] for key in repaired})


def test_what_only_looks_like_a_mask_stays(tmp_path: Path) -> None:
    tensors = {
        "a.weight_orig": torch.randn(3, 2),
        "a.weight_mask": torch.ones(2, 3),
        "b.weight_orig": torch.randn(3),
        "attn.mask": torch.ones(3),
    }
    after = applied(saved(tmp_path, tensors), ApplyMasks())
    assert_tensors(after.state_dict, tensors)
    assert after.effects[0].sentence == "No pruning mask to apply."


def test_integers_and_tensors_that_are_there_already_stay_and_are_said(tmp_path: Path) -> None:
    tensors = {
        "a.weight_orig": torch.ones(3, 2, dtype=torch.long),
        "a.weight_mask": torch.ones(3, 2),
        "b.weight_orig": torch.randn(3),
        "b.weight_mask": torch.ones(3),
        "b.weight": torch.zeros(3),
        "c.bias_orig": torch.randn(4).half(),
        "c.bias_mask": torch.tensor([True, False, True, True]),
    }
    after = applied(saved(tmp_path, tensors), ApplyMasks())
    product = tensors.pop("c.bias_orig") * tensors.pop("c.bias_mask")
    assert_tensors(after.state_dict, tensors | {"c.bias": product})
    assert after.effects[0].sentence.startswith("1 mask applied.")
    assert "their product exists already" in after.effects[0].sentence
