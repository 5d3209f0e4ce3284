"""The tensors of a torch.package archive open; its Python code is not read."""

import random
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.package import PackageExporter, PackageImporter

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError, LoupeError
from core.tensors import read_tensor

pytestmark = pytest.mark.filterwarnings("ignore")


def packed(path: Path, **pickles: object) -> Path:
    with PackageExporter(str(path)) as exporter:
        exporter.extern("torch.**")
        exporter.extern("collections.**")
        exporter.save_source_string("surprise", "raise SystemExit('was run')")
        for name, value in pickles.items():
            exporter.save_pickle("inside", f"{name}.pkl", value)
    return path


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_a_whole_model_has_the_weights_that_its_importer_gives(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.pt", model=model())
    expected = PackageImporter(str(path)).load_pickle("inside", "model.pkl").state_dict()
    before = set(sys.modules)
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == "package"
    found = checkpoint.state_dict()
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert torch.equal(read_tensor(found[key]), tensor), key
    assert not set(sys.modules) - before
    assert any("was not read" in note for note in checkpoint.notes)


def test_several_pickles_are_parts_by_their_names(tmp_path: Path) -> None:
    weights = model().state_dict()
    path = packed(tmp_path / "m.pt", weights=weights, options={"lr": 0.1})
    checkpoint = open_checkpoint(path)
    found = checkpoint.state_dict("inside/weights")
    assert list(found) == list(weights)
    assert checkpoint.metadata["inside/options"] == {"lr": 0.1}


def test_a_package_without_tensors_is_named(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.pt", options={"lr": 0.1})
    with pytest.raises(CheckpointError, match=r"torch\.package archive"):
        open_checkpoint(path)


def test_a_storage_that_is_not_there_is_said(tmp_path: Path) -> None:
    packed(tmp_path / "m.pt", model=model())
    with zipfile.ZipFile(tmp_path / "m.pt") as old, zipfile.ZipFile(tmp_path / "n.pt", "w") as new:
        for member in old.namelist():
            if not member.endswith("/0.storage"):
                new.writestr(member, old.read(member))
    with pytest.raises(CheckpointError, match="does not contain"):
        open_checkpoint(tmp_path / "n.pt")


def test_whatever_byte_is_wrong_it_opens_or_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.pt", model=model())
    data = path.read_bytes()
    rng = random.Random(0)
    for _ in range(200):
        at = rng.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :])
        try:
            for entry in open_checkpoint(path).state_dict().values():
                read_tensor(entry)
        except LoupeError:
            continue
