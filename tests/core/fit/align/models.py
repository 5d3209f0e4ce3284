"""Files of real networks, and networks filled from them under other names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from core.checkpoint import StateDict, open_checkpoint
from core.fit.align import Alignment, align
from core.fixes import Recipe
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.plain_torch import signature_of


def varied(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every tensor of the model apart from every other, so that an exchange shows in its output:
    norms and their statistics begin as ones and zeros all over."""
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if key.endswith("running_mean"):
                tensor.copy_(torch.randn(tensor.shape, generator=dice) / 10)
            elif key.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=dice) + 0.5)
            elif max(tensor.shape, default=1) == tensor.numel():
                tensor.add_(torch.rand(tensor.shape, generator=dice) / 5)
    return model.eval()


def saved(folder: Path, tensors: Mapping[str, torch.Tensor]) -> StateDict:
    torch.save(dict(tensors), folder / "weights.pth")
    return open_checkpoint(folder / "weights.pth").state_dict()


def saved_by_name(folder: Path, tensors: Mapping[str, torch.Tensor]) -> StateDict:
    """As it comes from the Hugging Face hub: safetensors keeps no order of a network."""
    apart = {key: value.clone() for key, value in tensors.items()}
    save_file(apart, folder / "model.safetensors")
    return open_checkpoint(folder / "model.safetensors").state_dict()


def filled(model: nn.Module, state_dict: StateDict) -> Alignment:
    """The model with the file's tensors in their places by the alignment's recipe."""
    found = align(state_dict, signature_of(model))
    fill(model, found.recipe, state_dict)
    return found


def fill(model: nn.Module, recipe: Recipe, state_dict: StateDict) -> None:
    """Give the model the file's tensors by a recipe; what the file lacks stays as it was."""
    fixed = apply_recipe(recipe, state_dict, signature_of(model)).state_dict
    new = model.state_dict()  # with the modules' versions, of which MNASNet's loading asks
    for key in new:
        if key in fixed:
            new[key] = read_tensor(fixed[key])
    model.load_state_dict(new)


def missing(found: Alignment, wanted: Iterable[str]) -> tuple[str, ...]:
    """The wanted keys that no tensor of the file is paired with."""
    paired = {pair.wanted for pair in found.pairs}
    return tuple(key for key in wanted if key not in paired)


def output(model: nn.Module, size: int) -> torch.Tensor:
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return model(image)
