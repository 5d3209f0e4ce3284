"""What torch.save and safetensors write opens with the same keys, shapes, dtypes and bits."""

import argparse
import collections
import pickle
import sys
import types
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from omegaconf import OmegaConf
from torch import nn
from torchvision.models import resnet18

from core.checkpoint import Checkpoint, Verdict, open_checkpoint
from core.checkpoint.tensors import chunks, read_tensor, read_tensor_into

Save = Callable[[Any, Path], None]


def save_zip(value: object, path: Path) -> None:
    torch.save(value, path)


def save_legacy(value: object, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


both_formats = pytest.mark.parametrize(
    ("save", "format"), [(save_zip, "zip"), (save_legacy, "legacy")], ids=["zip", "legacy"]
)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def assert_same_tensors(
    checkpoint: Checkpoint, expected: Mapping[str, torch.Tensor], path: str | None = None
) -> None:
    found = checkpoint.state_dict(path)
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        entry = found[key]
        assert entry.shape == tuple(tensor.shape)
        assert f"torch.{entry.dtype}" == str(tensor.dtype)
        read = read_tensor(entry)
        assert torch.equal(bits(read), bits(tensor)), key
        pieces = [piece.clone() for piece in chunks(entry, 64)]
        streamed = torch.cat(pieces) if pieces else tensor.reshape(-1)
        assert torch.equal(bits(streamed), bits(tensor)), key


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


def test_every_dtype_comes_out_bit_by_bit(tmp_path: Path) -> None:
    names = (
        *("float64", "float32", "float16", "bfloat16", "complex128", "complex64", "complex32"),
        *("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool"),
        *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"),
    )
    raw = torch.arange(64, dtype=torch.uint8)
    saved = {
        name: (raw % 2).bool() if name == "bool" else raw.clone().view(getattr(torch, name))
        for name in names
    }
    torch.save(saved, tmp_path / "all.pth")
    assert_same_tensors(open_checkpoint(tmp_path / "all.pth"), saved)


@both_formats
def test_views_strides_scalars_and_empties_are_the_tensors_they_show(
    tmp_path: Path, save: Save, format: str
) -> None:
    base = torch.arange(240.0).reshape(4, 5, 12)
    saved = {
        "transposed": base.permute(2, 0, 1),
        "sliced": base[1:3, ::2, 3:],
        "row": base[2, 1],
        "expanded": base[:1].expand(6, 5, 12),
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "parameter": nn.Parameter(base[0].t()),
        "base": base,
    }
    save(saved, tmp_path / "views.pth")
    assert_same_tensors(open_checkpoint(tmp_path / "views.pth"), torch.load(tmp_path / "views.pth"))


def test_the_legacy_streams_own_views_of_storages_are_read(tmp_path: Path) -> None:
    whole = torch.arange(100.0)
    saved = {"whole": whole, "part": whole[20:50], "last": whole[99:]}
    save_legacy(saved, tmp_path / "views.pth")
    assert_same_tensors(open_checkpoint(tmp_path / "views.pth"), saved)


def test_a_tensor_is_read_straight_into_another_and_converted(tmp_path: Path) -> None:
    saved = {"w": torch.randn(5, 7)}
    torch.save(saved, tmp_path / "w.pth")
    entry = open_checkpoint(tmp_path / "w.pth").state_dict()["w"]
    same, half, columns = torch.empty(5, 7), torch.empty(5, 7).half(), torch.empty(7, 5).t()
    for into in (same, half, columns):
        read_tensor_into(entry, into)
        assert torch.equal(into, saved["w"].to(into.dtype))


class Wrapper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 2, bias=False)
        self.register_buffer("scratch", torch.ones(3), persistent=False)
        self.register_buffer("kept", torch.arange(3.0))


@both_formats
def test_a_whole_model_opens_without_its_class(tmp_path: Path, save: Save, format: str) -> None:
    """Failure mode 9."""
    module = types.ModuleType("somebodys_models")
    sys.modules["somebodys_models"] = module
    try:
        hidden = type("Hidden", (Wrapper,), {"__module__": "somebodys_models"})
        module.Hidden = hidden  # type: ignore[attr-defined]
        model = hidden()
        save({"model": model, "epoch": 3}, tmp_path / "whole.pth")
    finally:
        del sys.modules["somebodys_models"]
    checkpoint = open_checkpoint(tmp_path / "whole.pth")
    assert_same_tensors(checkpoint, model.state_dict(), "model")
    assert checkpoint.metadata == {"model": {"class": "somebodys_models.Hidden"}, "epoch": 3}
    assert "somebodys_models" not in sys.modules
    verdicts = {use.name: use.verdict for use in checkpoint.globals}
    assert verdicts["somebodys_models.Hidden"] is Verdict.INERT


def test_a_torchscript_archive_gives_its_weights(tmp_path: Path) -> None:
    """Failure mode 8."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.trace(model, torch.ones(2, 3)), tmp_path / "script.pt")
    checkpoint = open_checkpoint(tmp_path / "script.pt")
    assert checkpoint.format == "torchscript"
    for key, tensor in model.state_dict().items():
        if key in checkpoint.state_dict():
            assert torch.equal(read_tensor(checkpoint.state_dict()[key]), tensor)
    assert {"0.weight", "0.bias", "1.running_mean"} <= set(checkpoint.state_dict())


def test_numpy_values_and_namespaces_are_metadata(tmp_path: Path) -> None:
    """Failure modes 5 and 6: torch.load(weights_only=True) refuses this file."""
    saved = {
        "model": {"w": torch.ones(1)},
        "loss": np.float64(0.25),
        "step": np.int32(7),
        "curve": np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32),
        "args": argparse.Namespace(lr=0.1, data=None, tags={"x"}),
        "scores": collections.defaultdict(int, a=1),
        "nan": float("nan"),
    }
    torch.save(saved, tmp_path / "np.pth")
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        torch.load(tmp_path / "np.pth", weights_only=True)
    metadata = open_checkpoint(tmp_path / "np.pth").metadata
    assert metadata == {
        "loss": 0.25,
        "step": 7,
        "curve": [1.0, 2.0, 3.0, 4.0],
        "args": {"class": "argparse.Namespace", "lr": 0.1, "data": None, "tags": ["x"]},
        "scores": {"a": 1},
        "nan": "nan",
    }


def test_the_older_names_of_numpys_functions_are_known(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1), "loss": np.float64(0.5)}, tmp_path / "new.pth")
    with (
        zipfile.ZipFile(tmp_path / "new.pth") as new,
        zipfile.ZipFile(tmp_path / "old.pth", "w") as old,
    ):
        for name in new.namelist():
            data = new.read(name)
            old.writestr(name, data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert open_checkpoint(tmp_path / "old.pth").metadata == {"loss": 0.5}


def test_an_object_of_an_unknown_class_stays_inert_data(tmp_path: Path) -> None:
    config = OmegaConf.create({"model": {"depth": 18}, "lr": 0.1})
    torch.save({"state_dict": {"w": torch.ones(1)}, "config": config}, tmp_path / "omega.ckpt")
    checkpoint = open_checkpoint(tmp_path / "omega.ckpt")
    assert list(checkpoint.state_dict()) == ["w"]
    told = str(checkpoint.metadata["config"])
    assert "omegaconf.dictconfig.DictConfig" in told
    assert "18" in told


@pytest.mark.parametrize("location", ["cuda:0", "cuda:7", "mps", "xla:0", "privateuseone:0"])
def test_a_file_from_another_device_always_opens(tmp_path: Path, location: str) -> None:
    """Failure modes 15 and 16."""
    saved = {"w": torch.randn(4)}
    package = torch.serialization.location_tag
    torch.serialization.location_tag = lambda _storage: location  # type: ignore[assignment]
    try:
        torch.save(saved, tmp_path / "gpu.pth")
    finally:
        torch.serialization.location_tag = package  # type: ignore[assignment]
    checkpoint = open_checkpoint(tmp_path / "gpu.pth")
    assert checkpoint.state_dict()["w"].location == location
    assert_same_tensors(checkpoint, saved)


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


def test_records_carry_the_checksums_of_the_file_and_none_where_it_has_none(
    tmp_path: Path,
) -> None:
    saved = {"w": torch.randn(4)}
    torch.save(saved, tmp_path / "with.pth")
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(saved, tmp_path / "without.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    with zipfile.ZipFile(tmp_path / "with.pth") as archive:
        expected = archive.getinfo("with/data/0").CRC
    record = open_checkpoint(tmp_path / "with.pth").state_dict()["w"].record
    assert record is not None
    assert record.crc32 == expected
    unchecked = open_checkpoint(tmp_path / "without.pth").state_dict()["w"].record
    assert unchecked is not None
    assert unchecked.crc32 is None


def test_quantized_tensors_are_listed_and_named(tmp_path: Path) -> None:
    torch.save(
        {"w": torch.randn(4), "q": torch.quantize_per_tensor(torch.ones(3), 0.1, 2, torch.quint8)},
        tmp_path / "q.pth",
    )
    checkpoint = open_checkpoint(tmp_path / "q.pth")
    assert checkpoint.state_dict()["q"].dtype == "quint8"
    assert any("quantized" in note for note in checkpoint.notes)


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
