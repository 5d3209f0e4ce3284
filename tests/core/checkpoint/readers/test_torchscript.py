"""TorchScript archives open with the state_dict that torch.jit.load gives, and no code is run."""

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from core.checkpoint import Verdict, open_checkpoint
from core.tensors import read_tensor

pytestmark = pytest.mark.filterwarnings("ignore")


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("scratch", torch.ones(2), persistent=False)
        self.factor = torch.full((3,), 2.0)
        self.shifts = nn.ParameterList([nn.Parameter(torch.randn(3)) for _ in range(2)])
        self.again = self.linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.linear(x)) * self.factor + self.scratch.sum()
        return self.again(y[:, :1].repeat(1, 4))


def scripted() -> torch.jit.ScriptModule:
    return torch.jit.script(Scaled().eval())


def traced() -> torch.jit.ScriptModule:
    return torch.jit.trace(Scaled().eval(), torch.randn(2, 4))


both = pytest.mark.parametrize("make", [scripted, traced], ids=["script", "trace"])
Make = Callable[[], torch.jit.ScriptModule]


@both
def test_keys_order_and_values_are_those_of_torch_jit_load(tmp_path: Path, make: Make) -> None:
    """Failure mode 8: torch.load itself refuses this file, or warns."""
    path = tmp_path / "model.pt"
    torch.jit.save(make(), path)
    expected = torch.jit.load(path).state_dict()
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == "torchscript"
    found = checkpoint.state_dict()
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert torch.equal(read_tensor(found[key]), tensor), key
    assert any("code in this archive was not read" in note for note in checkpoint.notes)
    assert not [use for use in checkpoint.globals if use.verdict is Verdict.DANGEROUS]


def test_what_torch_jit_save_compresses_is_no_note(tmp_path: Path) -> None:
    torch.jit.save(scripted(), tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        assert any(info.compress_type for info in archive.infolist())
    assert not any("packed" in note for note in open_checkpoint(tmp_path / "model.pt").notes)


def test_a_tensor_that_is_only_an_attribute_is_no_state_and_is_named(tmp_path: Path) -> None:
    torch.jit.save(scripted(), tmp_path / "model.pt")
    notes = open_checkpoint(tmp_path / "model.pt").notes
    assert any("left out: factor" in note for note in notes)


def test_a_frozen_modules_weights_are_its_constants(tmp_path: Path) -> None:
    module = torch.jit.script(nn.Sequential(nn.Linear(4, 3), nn.ReLU()).eval())
    torch.jit.save(torch.jit.freeze(module), tmp_path / "frozen.pt")
    found = open_checkpoint(tmp_path / "frozen.pt").state_dict()
    assert found.path == "constants"
    shapes = sorted(entry.shape for entry in found.values())
    assert shapes == sorted(tuple(tensor.shape) for tensor in module.state_dict().values())
    weight = next(entry for entry in found.values() if len(entry.shape) == 2)
    expected = module.state_dict()["0.weight"]
    read = read_tensor(weight)
    assert torch.equal(read, expected) or torch.equal(read, expected.t())


def test_constants_beside_weights_are_a_part_of_their_own(tmp_path: Path) -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x) + torch.tensor([0.5, 0.25])

    module = torch.jit.trace(Shifted(), torch.randn(1, 2))
    torch.jit.save(module, tmp_path / "model.pt")
    checkpoint = open_checkpoint(tmp_path / "model.pt")
    assert list(checkpoint.state_dict()) == ["linear.weight", "linear.bias"]
    constants = checkpoint.state_dict("constants")
    assert any(
        torch.equal(read_tensor(entry), torch.tensor([0.5, 0.25])) for entry in constants.values()
    )


def test_an_archive_for_phones_opens_as_any_other(tmp_path: Path) -> None:
    module = torch.jit.script(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    module._save_for_lite_interpreter(str(tmp_path / "phone.ptl"))
    checkpoint = open_checkpoint(tmp_path / "phone.ptl")
    assert list(checkpoint.state_dict()) == list(module.state_dict())
    assert not any("another pickle" in note for note in checkpoint.notes)


def test_the_inputs_that_a_traced_module_keeps_are_no_hidden_pickle(tmp_path: Path) -> None:
    torch.jit.save(traced(), tmp_path / "model.pt")
    assert not any("pickle" in note for note in open_checkpoint(tmp_path / "model.pt").notes)


def test_no_code_of_the_archive_is_imported(tmp_path: Path) -> None:
    torch.jit.save(scripted(), tmp_path / "model.pt")
    before = set(sys.modules)
    open_checkpoint(tmp_path / "model.pt")
    assert not [name for name in set(sys.modules) - before if "__torch__" in name]


def test_the_packed_weights_of_quantized_layers_are_a_part_of_their_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    floats = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    module = torch.ao.quantization.quantize_dynamic(floats, {nn.Linear}, torch.qint8)
    torch.jit.save(torch.jit.script(module), tmp_path / "quantized.pt")
    checkpoint = open_checkpoint(tmp_path / "quantized.pt")
    packed = checkpoint.state_dict("packed_params")
    entries = [entry for key, entry in packed.items() if key.startswith("2.")]
    assert torch.equal(read_tensor(entries[0]), module[2].weight().int_repr())
    assert torch.equal(read_tensor(entries[1]), module[2].bias())
    assert any("packed" in note for note in checkpoint.notes)
