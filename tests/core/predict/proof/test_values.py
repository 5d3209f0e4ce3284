"""Each tensor of a loaded model holds the bits that it should, or is named."""

from pathlib import Path

import torch
from torch import nn

from core.checkpoint import StateDict, open_checkpoint
from core.predict.proof.values import check_values


def entries(folder: Path, weights: dict[str, torch.Tensor]) -> StateDict:
    torch.save(weights, folder / "model.pth")
    return open_checkpoint(folder / "model.pth").state_dict()


def test_two_tensors_of_the_file_do_not_fit_into_one_of_the_model(tmp_path: Path) -> None:
    model = nn.ModuleDict({"embedding": nn.Embedding(3, 2), "head": nn.Linear(2, 3, bias=False)})
    model["head"].weight = model["embedding"].weight
    weights = {key: torch.full((3, 2), float(i)) for i, key in enumerate(model.state_dict())}
    model.load_state_dict(weights)
    state_dict = entries(tmp_path, weights)
    assert check_values(model, state_dict, state_dict).differing == ("embedding.weight",)


def test_bits_count_rather_than_numbers(tmp_path: Path) -> None:
    model = nn.ParameterDict({"a": torch.tensor([torch.nan]), "b": torch.tensor([0.0])})
    same = {"a": torch.tensor([torch.nan]), "b": torch.tensor([-0.0])}
    state_dict = entries(tmp_path, same)
    checked = check_values(model, state_dict, state_dict)
    assert (checked.from_file, checked.differing) == (("a",), ("b",))
    assert checked.not_finite == ("a",)


def test_half_precision_is_widened_by_loading(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    halves = {key: value.half() for key, value in model.state_dict().items()}
    model.load_state_dict(halves)
    state_dict = entries(tmp_path, halves)
    assert check_values(model, state_dict, state_dict).converted == ("weight", "bias")
