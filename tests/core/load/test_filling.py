"""Every tensor of a model is filled once, whatever names it has and whatever memory it shares."""

from pathlib import Path

import pytest
import torch
from torch import nn

from core.architectures import Architecture, catalogue
from core.checkpoint import StateDict, open_checkpoint
from core.load.loading import load_model

OWN = """
import torch
from torch import nn


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(1500, 1500, bias=False)
        self.second = nn.Linear(1500, 1500, bias=False)
        self.second.weight = self.first.weight


class TiedBuffers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        for layer in (self.first, self.second):
            layer.register_buffer("table", self.first.weight.new_zeros(3))
        self.second.table = self.first.table


class Overlapping(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat = nn.Parameter(torch.empty(3_000_000))
        nn.init.normal_(self.flat)
        self.register_buffer("part", self.flat.data[:2_000_000].view(2, -1))


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.scale = nn.Linear(4, 2), torch.zeros(3)

    def get_extra_state(self):
        return self.scale.clone()

    def set_extra_state(self, state):
        raise AssertionError("code was run on what a file holds")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Architecture]:
    (tmp_path / "filling_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    found = catalogue(("filling_models",))
    return {each.name.partition(".")[2]: each for each in found if each.library == "own"}


def saved(folder: Path, tensors: dict[str, torch.Tensor]) -> StateDict:
    torch.save(tensors, folder / "model.pth")
    return open_checkpoint(folder / "model.pth").state_dict()


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_values_for_tied_weights_the_one_that_plain_torch_takes_stays(
    tmp_path: Path, own: dict[str, Architecture], turned: bool
) -> None:
    """The model's last, in whatever order the file has them."""
    tensors = {
        "first.weight": torch.ones(1500, 1500),
        "second.weight": torch.full((1500, 1500), 2.0),
    }
    ordered = dict(reversed(tensors.items())) if turned else tensors
    told: list[tuple[int, int, str]] = []
    loaded = load_model(
        saved(tmp_path, ordered), own["Tied"], progress=lambda *what: told.append(what)
    )
    assert loaded.model.first.weight is loaded.model.second.weight
    assert torch.equal(loaded.model.first.weight, tensors["second.weight"])
    nbytes = tensors["second.weight"].nbytes
    assert told == [(nbytes, nbytes, "second.weight")]
    assert loaded.nbytes_read == nbytes


def test_a_tensor_that_is_filled_under_its_other_name_is_not_told_as_initialised(
    tmp_path: Path, own: dict[str, Architecture]
) -> None:
    state_dict = saved(tmp_path, {"first.weight": torch.ones(1500, 1500)})
    loaded = load_model(state_dict, own["Tied"], strict=False)
    assert loaded.match.missing_keys == ("second.weight",)
    assert loaded.initialised == ()
    assert torch.equal(loaded.model.second.weight, torch.ones(1500, 1500))


def test_a_buffer_with_two_names_is_filled_under_both_in_another_dtype_too(
    tmp_path: Path, own: dict[str, Architecture]
) -> None:
    loaded = load_model(
        saved(tmp_path, {"first.table": torch.ones(3)}),
        own["TiedBuffers"],
        dtype="float16",
        strict=False,
    )
    assert "second.table" not in loaded.initialised
    assert torch.equal(loaded.model.second.table, torch.ones(3).half())


def test_tensors_that_overlap_are_filled_in_the_models_order(
    tmp_path: Path, own: dict[str, Architecture]
) -> None:
    tensors = {"flat": torch.full((3_000_000,), 1.0), "part": torch.full((2, 1_000_000), 2.0)}
    state_dict = saved(tmp_path, tensors)
    for _ in range(3):
        model = load_model(state_dict, own["Overlapping"]).model
        assert torch.equal(model.part, tensors["part"])
        assert torch.equal(model.flat[2_000_000:], tensors["flat"][2_000_000:])
        assert torch.equal(model.flat[:2_000_000], tensors["part"].view(-1))


def test_what_only_a_modules_own_code_could_take_in_is_left_out_and_said(
    tmp_path: Path, own: dict[str, Architecture]
) -> None:
    weights = nn.Linear(4, 2).state_dict(prefix="head.")
    state_dict = saved(tmp_path, {**weights, "_extra_state": torch.ones(3)})
    loaded = load_model(state_dict, own["Scaled"])
    assert loaded.initialised == ("_extra_state",)
    assert loaded.notes == (
        "_extra_state was left out: only the model's own code (set_extra_state) could load it, "
        "and Loupe runs no such code on a file's contents.",
    )
    assert torch.equal(loaded.model.head.weight, weights["head.weight"])
