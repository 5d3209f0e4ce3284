"""Norms whose names do not say which tensor is the weight: told by values, or not at all."""

import re
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet18

from core.checkpoint import StateDict
from core.fit import Fit, fit_of, fit_verdict
from core.fit.align import norms_by_values
from core.fit.proposals import best_repair
from core.fixes import Recipe, RenameTable
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.fit.align.models import saved
from tests.core.plain_torch import signature_of

VIT = "vit_tiny_patch16_224"


def trained(model: nn.Module) -> nn.Module:
    """The model with norms as training leaves them: weights about 1, biases about 0."""
    dice = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if key.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=dice) + 0.5)
            elif tensor.ndim == 1:
                tensor.add_(torch.randn(tensor.shape, generator=dice) / 5)
    return model.eval()


def in_norms(model: nn.Module, names: dict[str, str]) -> dict[str, torch.Tensor]:
    """The model's tensors, those of its norms under these names."""
    norms = {
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.LayerNorm | nn.BatchNorm2d)
    }
    tensors = {}
    for key, tensor in model.state_dict().items():
        path, _, last = key.rpartition(".")
        tensors[f"{path}.{names.get(last, last)}" if path in norms else key] = tensor
    return tensors


def repaired_fit(file: StateDict, model: nn.Module) -> tuple[StateDict, Fit]:
    wanted = signature_of(model)
    repaired = apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict
    return repaired, fit_of(file, repaired, wanted)


@pytest.mark.parametrize(
    "names", [("a_2", "b_2"), ("b_2", "a_2"), ("ln_w", "ln_b"), ("mult", "add"), ("g", "b")]
)
def test_the_weight_of_a_norm_is_told_by_its_values(tmp_path: Path, names: tuple[str, str]) -> None:
    model = trained(timm.create_model(VIT))
    weight, bias = names
    file = saved(tmp_path, in_norms(model, {"weight": weight, "bias": bias}))
    repaired, fit = repaired_fit(file, model)
    assert fit.fits
    assert fit.by_values == (
        f"In norms, by their values, `{weight}` is the weight and `{bias}` is the bias."
    )
    for key, tensor in model.state_dict().items():
        assert torch.equal(read_tensor(repaired[key]), tensor), key


def test_the_verdict_says_what_values_told(tmp_path: Path) -> None:
    model = trained(timm.create_model(VIT))
    file = saved(tmp_path, in_norms(model, {"weight": "a_2", "bias": "b_2"}))
    _, fit = repaired_fit(file, model)
    assert "`a_2` is the weight" in fit_verdict(fit)


@pytest.mark.parametrize(
    "names",
    [
        {"running_mean": "mean", "running_var": "var"},
        {"running_mean": "mu", "running_var": "sigma2"},
        {"running_mean": "pop_mean", "running_var": "pop_variance"},
        {"running_mean": "EMA_mean", "running_var": "EMA_var", "weight": "u", "bias": "v"},
        {"running_mean": "mean", "running_var": "var", "weight": "scale", "bias": "offset"},
    ],
)
def test_statistics_are_told_by_words_and_values(tmp_path: Path, names: dict[str, str]) -> None:
    model = trained(resnet18())
    file = saved(tmp_path, in_norms(model, names))
    repaired, fit = repaired_fit(file, model)
    assert fit.fits
    for key, tensor in model.state_dict().items():
        assert torch.equal(read_tensor(repaired[key]), tensor), key


@pytest.mark.parametrize(
    "names",
    [
        {"running_mean": "mean", "running_var": "std"},
        {"running_mean": "mean", "running_var": "inv_var"},
        {"running_mean": "avg", "running_var": "spread"},
    ],
)
def test_what_may_be_another_number_than_a_variance_is_none(
    tmp_path: Path, names: dict[str, str]
) -> None:
    model = trained(resnet18())
    file = saved(tmp_path, in_norms(model, names))
    assert not repaired_fit(file, model)[1].fits


def test_a_variance_is_never_negative(tmp_path: Path) -> None:
    model = trained(resnet18())
    tensors = in_norms(model, {"running_mean": "ema_var", "running_var": "ema_mean"})
    assert not repaired_fit(saved(tmp_path, tensors), model)[1].fits


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(torch.ones_like, id="all the same"),
        pytest.param(lambda tensor: tensor.abs() + 1, id="all positive"),
    ],
)
def test_values_that_do_not_tell_weight_from_bias_make_no_fit(
    tmp_path: Path, change: object
) -> None:
    assert callable(change)
    model = trained(timm.create_model(VIT))
    tensors = {
        key: change(tensor) if re.search(r"\.[uv]$", key) else tensor
        for key, tensor in in_norms(model, {"weight": "u", "bias": "v"}).items()
    }
    assert not repaired_fit(saved(tmp_path, tensors), model)[1].fits


@pytest.mark.parametrize("names", [("alpha", "beta"), ("beta", "alpha")])
def test_a_layer_that_scales_and_shifts_is_no_norm(tmp_path: Path, names: tuple[str, str]) -> None:
    model = trained(timm.create_model(VIT))
    weight, bias = names
    file = saved(tmp_path, in_norms(model, {"weight": weight, "bias": bias}))
    assert not repaired_fit(file, model)[1].fits


def test_a_recipe_that_exchanges_weight_and_bias_is_doubted(tmp_path: Path) -> None:
    model = trained(timm.create_model(VIT))
    file = saved(tmp_path, in_norms(model, {"weight": "a_2", "bias": "b_2"}))
    ends = {".a_2": ".bias", ".b_2": ".weight"}
    table = tuple((key, key[:-4] + ends[key[-4:]]) for key in file if key[-4:] in ends)
    wanted = signature_of(model)
    repaired = apply_recipe(Recipe.of((RenameTable(table),)), file, wanted).state_dict
    fit = fit_of(file, repaired, wanted)
    assert fit.match.fits
    assert not fit.fits
    assert fit.doubts[0].sentence == (
        "`blocks.0.norm1.a_2` is taken as a norm's bias, and its values are those of a weight."
    )


def test_names_of_the_model_itself_are_not_questioned(tmp_path: Path) -> None:
    model = trained(timm.create_model("resmlp_12_224"))
    file = saved(tmp_path, model.state_dict())
    assert any(key.endswith("norm1.alpha") for key in file)
    assert norms_by_values(file, signature_of(model)) == {}


def test_vectors_of_a_block_that_has_layers_are_no_norm(tmp_path: Path) -> None:
    model = trained(timm.create_model("beit_base_patch16_224", depth=2, init_values=0.1))
    file = saved(tmp_path, model.state_dict())
    assert {"blocks.0.gamma_1", "blocks.0.attn.q_bias"} <= file.keys()
    assert norms_by_values(file, {}) == {}
