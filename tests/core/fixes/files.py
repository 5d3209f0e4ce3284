"""What the tests of fixes share: a real file with tensors, and a recipe applied to it."""

from collections.abc import Mapping
from pathlib import Path

import torch

from core.architectures import Signature, TensorSpec
from core.checkpoint import StateDict, open_checkpoint
from core.fixes import Fix, Recipe
from core.recipe import Applied, apply_recipe
from core.tensors import read_tensor


def saved(folder: Path, tensors: Mapping[str, torch.Tensor]) -> StateDict:
    """The state_dict of a file that torch.save wrote."""
    path = folder / "file.pth"
    torch.save(dict(tensors), path)
    return open_checkpoint(path).state_dict("")


def applied(state_dict: StateDict, *fixes: Fix, wanted: Signature | None = None) -> Applied:
    """The fixes, one after the other."""
    return apply_recipe(Recipe.of(fixes), state_dict, wanted)


def tensors_of(state_dict: StateDict) -> dict[str, torch.Tensor]:
    """All tensors, read."""
    return {key: read_tensor(entry) for key, entry in state_dict.items()}


def assert_tensors(state_dict: StateDict, wanted: Mapping[str, torch.Tensor]) -> None:
    """These keys in this order, with equal tensors of equal dtypes."""
    assert list(state_dict) == list(wanted)
    for key, tensor in wanted.items():
        found = read_tensor(state_dict[key])
        assert found.shape == state_dict[key].shape == tensor.shape
        torch.testing.assert_close(found, tensor, rtol=1e-6, atol=1e-6)


def signature_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, TensorSpec]:
    """What a model with these tensors wants, all of them parameters."""
    return {
        key: TensorSpec(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), "parameter")
        for key, tensor in tensors.items()
    }
