"""The tar archives of the oldest PyTorch open as torch.load reads them."""

import collections
import contextlib
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError, LoupeError
from core.tensors import read_tensor

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage")


class OldPickler(pickle.Pickler):
    """Tensors and storages stand outside of the pickle, under their numbers."""

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.tensors: dict[int, torch.Tensor] = {}

    def persistent_id(self, value: Any) -> str | None:
        if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
            self.tensors[id(value)] = value
            return str(id(value))
        return None


def save_tar(
    value: object, path: Path, *, view: torch.Tensor | None = None, protocol: int = 2
) -> None:
    """Write what torch/serialization.py's legacy_load reads, which no library writes any more."""
    body = io.BytesIO()
    pickler = OldPickler(body, protocol)
    pickler.dump(value)
    storages, tensors = io.BytesIO(), io.BytesIO()
    roots = {}
    for key, tensor in pickler.tensors.items():
        roots.setdefault(tensor.untyped_storage().data_ptr(), (key + 1, tensor))
    pickle.dump(len(roots), storages, 2)
    for key, tensor in roots.values():
        kind = getattr(torch, tensor.storage().pickle_storage_type())
        pickle.dump((key, "cuda:0", kind), storages, 2)
        flat = tensor.as_strided((tensor.storage().size(),), (1,), 0)
        storages.write(struct.pack("<q", flat.numel()))
        storages.write(flat.contiguous().view(torch.uint8).numpy().tobytes())
    views = []
    if view is not None:
        root = roots[view.untyped_storage().data_ptr()][0]
        views.append((id(view) + 2, root, view.storage_offset(), view.numel()))
    pickle.dump(views, storages, 2)
    pickle.dump(len(pickler.tensors), tensors, 2)
    for key, tensor in pickler.tensors.items():
        is_view = view is tensor
        root = id(tensor) + 2 if is_view else roots[tensor.untyped_storage().data_ptr()][0]
        pickle.dump((key, root, type(tensor)), tensors, 2)
        tensors.write(struct.pack("<q", tensor.ndim))
        tensors.write(struct.pack(f"<{2 * tensor.ndim}q", *tensor.shape, *tensor.stride()))
        tensors.write(struct.pack("<q", 0 if is_view else tensor.storage_offset()))
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as archive:
        for name, data in (("storages", storages), ("tensors", tensors), ("pickle", body)):
            member = tarfile.TarInfo(name)
            member.size = len(data.getvalue())
            archive.addfile(member, io.BytesIO(data.getvalue()))


def example() -> dict[str, object]:
    torch.manual_seed(0)
    weight = torch.randn(4, 6)
    return {
        "epoch": 3,
        "arch": "alexnet",
        "state_dict": collections.OrderedDict(
            weight=weight,
            transposed=weight.t(),
            row=weight[2],
            bias=torch.randn(4).double(),
            count=torch.tensor([5]),
            half=torch.randn(3).half(),
        ),
    }


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_an_old_tar_is_read_as_torch_load_reads_it(tmp_path: Path, protocol: int) -> None:
    """Failure mode 7."""
    path = tmp_path / "old.pth.tar"
    saved = example()
    save_tar(saved, path, protocol=protocol)
    loaded = torch.load(path, map_location="cpu", weights_only=False)
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == "tar"
    assert list(checkpoint.state_dict()) == list(loaded["state_dict"])
    for key, tensor in loaded["state_dict"].items():
        entry = checkpoint.state_dict()[key]
        assert entry.shape == tuple(tensor.shape)
        assert entry.location == "cuda:0"
        assert torch.equal(read_tensor(entry), tensor), key
    assert checkpoint.metadata == {"epoch": 3, "arch": "alexnet"}


def test_its_views_of_storages_are_read(tmp_path: Path) -> None:
    whole = torch.arange(12.0)
    part = whole[4:9]
    save_tar({"whole": whole, "part": part}, tmp_path / "old.pth", view=part)
    loaded = torch.load(tmp_path / "old.pth", map_location="cpu", weights_only=False)
    found = open_checkpoint(tmp_path / "old.pth").state_dict()
    assert torch.equal(loaded["part"], part)
    assert torch.equal(read_tensor(found["part"]), part)
    assert torch.equal(read_tensor(found["whole"]), whole)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_tar_that_is_cut_off_is_said(tmp_path: Path, share: float) -> None:
    path = tmp_path / "old.pth"
    save_tar(example(), path)
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"cut off|tar archive"):
        open_checkpoint(path)


def test_whatever_byte_is_wrong_it_opens_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    save_tar(example(), path)
    data = path.read_bytes()
    for at in range(0, len(data), 37):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        with contextlib.suppress(LoupeError):
            for entry in open_checkpoint(path).state_dict().values():
                read_tensor(entry)
