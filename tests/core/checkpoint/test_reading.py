"""What torch.save and safetensors write opens with the same keys, shapes, dtypes and bits."""

import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision.models import resnet18

from benchmarks.peak_memory import peak, reset_peak
from core.checkpoint import Verdict, open_checkpoint
from core.tensors import CONVERT_BYTES, read_tensor_into
from tests.core.checkpoint.same_tensors import Save, assert_same_tensors, both_formats


def training_checkpoint() -> dict[str, object]:
    torch.manual_seed(0)
    model = nn.DataParallel(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(torch.randn(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    return {
        "epoch": 12,
        "arch": "resnet18",
        "best_acc1": torch.tensor(71.5),
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }


@both_formats
def test_a_bare_state_dict_is_read_as_torch_load_reads_it(
    tmp_path: Path, save: Save, format: str
) -> None:
    save(resnet18().state_dict(), tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert checkpoint.format == format
    assert checkpoint.best == ""
    assert_same_tensors(checkpoint, torch.load(tmp_path / "m.pth"))
    assert checkpoint.state_dict().versions["bn1"] == 2
    assert checkpoint.metadata == {}


@both_formats
def test_a_training_checkpoint_gives_its_parts_and_its_metadata(
    tmp_path: Path, save: Save, format: str
) -> None:
    saved = training_checkpoint()
    save(saved, tmp_path / "run.pth")
    checkpoint = open_checkpoint(tmp_path / "run.pth")
    assert checkpoint.best == "state_dict"
    assert checkpoint.roles["optimizer.state"] == "optimizer"
    assert_same_tensors(checkpoint, torch.load(tmp_path / "run.pth")["state_dict"])
    state = torch.load(tmp_path / "run.pth")["optimizer"]["state"]
    flat = {f"{i}.{name}": value for i, group in state.items() for name, value in group.items()}
    assert_same_tensors(checkpoint, flat, "optimizer.state")
    assert checkpoint.metadata["epoch"] == 12
    groups = checkpoint.metadata["optimizer"]["param_groups"]  # type: ignore[index,call-overload]
    assert groups[0]["lr"] == 0.01
    assert groups[0]["params"] == [0, 1, 2, 3]


def test_a_tensor_is_read_straight_into_another_and_converted(tmp_path: Path) -> None:
    saved = {"w": torch.randn(5, 7)}
    torch.save(saved, tmp_path / "w.pth")
    entry = open_checkpoint(tmp_path / "w.pth").state_dict()["w"]
    same, half, columns = torch.empty(5, 7), torch.empty(5, 7).half(), torch.empty(7, 5).t()
    for into in (same, half, columns):
        read_tensor_into(entry, into)
        assert torch.equal(into, saved["w"].to(into.dtype))


def test_what_is_converted_takes_no_memory_of_its_size_beside_the_tensor(tmp_path: Path) -> None:
    saved = torch.randn(16, 1 + CONVERT_BYTES // 4)
    torch.save({"w": saved}, tmp_path / "w.pth")
    entry = open_checkpoint(tmp_path / "w.pth").state_dict()["w"]
    half = torch.empty(entry.shape, dtype=torch.bfloat16)
    before = reset_peak()
    read_tensor_into(entry, half)
    assert peak() - before < half.nbytes + 4 * CONVERT_BYTES
    assert torch.equal(half, saved.bfloat16())


def test_safetensors_are_read_with_their_metadata(tmp_path: Path) -> None:
    saved = {
        "b": torch.randn(3, 4),
        "a": torch.arange(5, dtype=torch.uint8),
        "h": torch.randn(2).bfloat16(),
        "e": torch.empty(0, 2),
    }
    safetensors.torch.save_file(saved, tmp_path / "m.safetensors", metadata={"format": "pt"})
    checkpoint = open_checkpoint(tmp_path / "m.safetensors")
    assert checkpoint.format == "safetensors"
    assert checkpoint.metadata == {"__metadata__": {"format": "pt"}}
    expected = safetensors.torch.load_file(tmp_path / "m.safetensors")
    assert_same_tensors(checkpoint, {key: expected[key] for key in checkpoint.state_dict()})
    assert set(checkpoint.state_dict()) == set(saved)


def test_raw_weights_are_chosen_before_their_average_and_all_are_listed(tmp_path: Path) -> None:
    """Failure mode 18."""
    weights = nn.Linear(3, 3).state_dict()
    saved = {"optimizer": {"state": {}}, "model_ema": weights, "model": weights, "epoch": 1}
    torch.save(saved, tmp_path / "ema.pth")
    checkpoint = open_checkpoint(tmp_path / "ema.pth")
    assert checkpoint.best == "model"
    assert checkpoint.roles == {"model_ema": "ema", "model": "model"}


@pytest.mark.parametrize("name", ["state_dict", "model", "net", "generator"])
@pytest.mark.parametrize(
    "loose", [{"rng_state": torch.get_rng_state()}, {"features": torch.randn(500, 9)}]
)
def test_a_large_tensor_that_lies_loose_is_not_chosen_before_the_model(
    loose: dict[str, torch.Tensor], name: str, tmp_path: Path
) -> None:
    torch.save({**loose, name: nn.Linear(3, 3).state_dict()}, tmp_path / "run.pth")
    checkpoint = open_checkpoint(tmp_path / "run.pth")
    assert checkpoint.best == name
    assert set(checkpoint.state_dicts) == {"", name}


def test_weights_at_the_root_are_chosen_before_fewer_under_a_name(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).state_dict()
    torch.save({**model, "params": {"temperature": torch.ones(1)}}, tmp_path / "run.pth")
    assert open_checkpoint(tmp_path / "run.pth").best == ""


class Strides(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.strides: list[int] = [8, 16]
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.strides[0] + self.weight


def test_a_scripted_modules_lists_are_no_danger(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(Strides()), tmp_path / "lists.pt")
    checkpoint = open_checkpoint(tmp_path / "lists.pt")
    assert "weight" in checkpoint.state_dict()
    assert all(use.verdict is not Verdict.DANGEROUS for use in checkpoint.globals)
    assert any(use.name.startswith("torch.jit._pickle.") for use in checkpoint.globals)
