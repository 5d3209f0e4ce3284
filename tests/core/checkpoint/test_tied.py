"""Tied weights, which safetensors' own writer refuses (FIELD 33)."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.checkpoint import StateDict, open_checkpoint
from core.checkpoint.tied import ties
from core.export import export_state_dict
from core.fixes import Recipe, Step, StripPrefix
from core.recipe import apply_recipe
from tests.core.odd_tensors import ODD


@pytest.fixture
def tied() -> dict[str, torch.Tensor]:
    embed = torch.randn(50, 20)
    return {"m.embed": embed, "m.head": embed, "m.rows": embed[:10], "m.other": embed.clone()}


def opened(path: Path, tensors: dict[str, torch.Tensor]) -> StateDict:
    torch.save(tensors, path)
    return open_checkpoint(path).state_dict()


def test_the_keys_of_one_tensor_are_listed(tmp_path: Path, tied: dict[str, torch.Tensor]) -> None:
    state_dict = opened(tmp_path / "tied.pth", tied)
    assert ties(state_dict) == (("m.embed", "m.head"),)
    renamed = apply_recipe(Recipe((Step(StripPrefix("m.")),)), state_dict).state_dict
    assert ties(renamed) == (("embed", "head"),)


def test_tied_weights_go_into_safetensors_under_each_of_their_keys(
    tmp_path: Path, tied: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(RuntimeError, match="share memory"):
        save_file(tied, tmp_path / "refused.safetensors")
    export_state_dict(
        opened(tmp_path / "tied.pth", tied), tmp_path / "out.safetensors", "safetensors"
    )
    found = load_file(tmp_path / "out.safetensors")
    assert found.keys() == tied.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in tied.items())


def test_what_has_no_elements_or_no_bytes_is_tied_to_none(tmp_path: Path) -> None:
    tensors = {
        "a": torch.empty(0),
        "b": torch.empty(0),
        "c": torch.ones(2, device="meta"),
        "d": torch.ones(2, device="meta"),
        **ODD,
    }
    assert ties(opened(tmp_path / "odd.pth", tensors)) == ()
