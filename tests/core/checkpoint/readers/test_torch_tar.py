"""The tar archives of the oldest PyTorch open as torch.load reads them."""

import collections
import contextlib
import inspect
import io
import pickle
import struct
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError, LoupeError
from core.tensors import read_tensor
from tests.core.checkpoint.same_tensors import assert_same_tensors

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage")


class OldPickler(pickle.Pickler):
    """Tensors and storages stand outside of the pickle, under their numbers.

    A module's class comes with its source, where it is first used.
    """

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.tensors: dict[int, torch.Tensor] = {}
        self.classes: set[type] = set()

    def persistent_id(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
            self.tensors[id(value)] = value
            return str(id(value))
        is_module = isinstance(value, type) and issubclass(value, nn.Module)
        if is_module and value not in self.classes:
            self.classes.add(value)
            return value, inspect.getsourcefile(value), inspect.getsource(value)
        return None


def save_tar(
    value: object, path: Path, *, views: Sequence[torch.Tensor] = (), protocol: int = 2
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
    described = [
        (
            id(view) + 2,
            roots[view.untyped_storage().data_ptr()][0],
            view.storage_offset(),
            view.numel(),
        )
        for view in views
    ]
    pickle.dump(described, storages, 2)
    pickle.dump(len(pickler.tensors), tensors, 2)
    for key, tensor in pickler.tensors.items():
        is_view = any(view is tensor for view in views)
        root = id(tensor) + 2 if is_view else roots[tensor.untyped_storage().data_ptr()][0]
        pickle.dump((key, root, type(tensor)), tensors, 2)
        tensors.write(struct.pack("<q", tensor.ndim))
        tensors.write(struct.pack(f"<{2 * tensor.ndim}q", *tensor.shape, *tensor.stride()))
        tensors.write(struct.pack("<q", 0 if is_view else tensor.storage_offset()))
    write_members(path, storages.getvalue(), tensors.getvalue(), body.getvalue())


def write_members(path: Path, storages: bytes, tensors: bytes, pickled: bytes) -> None:
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as archive:
        for name, data in (("storages", storages), ("tensors", tensors), ("pickle", pickled)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


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
    save_tar({"whole": whole, "part": part}, tmp_path / "old.pth", views=[part])
    loaded = torch.load(tmp_path / "old.pth", map_location="cpu", weights_only=False)
    found = open_checkpoint(tmp_path / "old.pth").state_dict()
    assert torch.equal(loaded["part"], part)
    assert torch.equal(read_tensor(found["part"]), part)
    assert torch.equal(read_tensor(found["whole"]), whole)


def test_hundreds_of_views_are_read(tmp_path: Path) -> None:
    """Their list is longer than what is first read of a pickle."""
    whole = torch.arange(900.0)
    saved = {f"row{at}": whole[at : at + 3] for at in range(0, 900, 3)}
    save_tar(saved, tmp_path / "old.pth", views=list(saved.values()))
    assert_same_tensors(open_checkpoint(tmp_path / "old.pth"), saved)


def test_a_whole_model_opens_with_its_classes_sources_beside(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    save_tar({"net": model, "epoch": 2}, tmp_path / "old.pth")
    loaded = torch.load(tmp_path / "old.pth", map_location="cpu", weights_only=False)["net"]
    checkpoint = open_checkpoint(tmp_path / "old.pth")
    found = checkpoint.state_dict()
    assert list(found) == list(loaded.state_dict())
    for key, tensor in loaded.state_dict().items():
        assert torch.equal(read_tensor(found[key]), tensor), key
    assert found.classes["1"] == "torch.nn.modules.batchnorm.BatchNorm1d"
    assert checkpoint.metadata["epoch"] == 2


ONE, NONE = pickle.dumps(1, 2), pickle.dumps(0, 2)
FLOATS = pickle.dumps((0, "cpu", torch.FloatStorage), 2) + struct.pack("<q", 4) + bytes(16)
VIEWS = pickle.dumps([], 2)
STORAGES = ONE + FLOATS + VIEWS
TENSOR = pickle.dumps((1, 0, torch.FloatTensor), 2)
NUMBERS = struct.pack("<4q", 1, 4, 1, 0)


def storages(description: object, views: object = ()) -> tuple[bytes, bytes]:
    """A storage that is described so, or the usual one with such views."""
    if description is not None:
        return ONE + pickle.dumps(description, 2) + FLOATS[-24:] + VIEWS, NONE
    return ONE + FLOATS + pickle.dumps(views, 2), NONE


def tensors(description: object, numbers: bytes = NUMBERS) -> tuple[bytes, bytes]:
    """A tensor that is described so."""
    return STORAGES, ONE + pickle.dumps(description, 2) + numbers


DAMAGE = {
    "a storage in it has no description": [storages([0]), storages((0, "cpu"))],
    "a storage in it is of an unknown kind": [
        storages((0, "cpu", dict)),
        storages((0, None, torch.FloatStorage)),
    ],
    "it has no list of views": [storages(None, {})],
    "a view in it has no description": [storages(None, [(1, 2)])],
    "a view in it reaches beyond its storage": [
        storages(None, [(2, 0, 2, 3)]),
        storages(None, [(2, 0, -1, 1)]),
        storages(None, [(2, 7, 0, 1)]),
        storages(None, [(2, 0, 0, None)]),
    ],
    "a tensor in it has no description": [tensors([1]), tensors((1, 0))],
    "a tensor in it has no storage": [tensors((1, 7, torch.FloatTensor))],
    "a tensor in it has an impossible size": [
        tensors((1, 0, torch.FloatTensor), struct.pack("<4q", 1, -4, 1, 0))
    ],
    "an object in it has no key": [
        storages(("first", "cpu", torch.FloatStorage)),
        tensors((None, 0, torch.FloatTensor)),
    ],
    "it ends too early": [
        (STORAGES, ONE + TENSOR + NUMBERS[:20]),
        (ONE + FLOATS[:20], NONE),
        (ONE + FLOATS[:-24] + struct.pack("<i", 4), NONE),
    ],
    "a count in it is not possible": [(pickle.dumps("1", 2), NONE), (pickle.dumps(-1, 2), NONE)],
}


@pytest.mark.parametrize(("words", "parts"), DAMAGE.items(), ids=DAMAGE)
def test_what_is_damaged_in_it_is_said(
    tmp_path: Path, words: str, parts: list[tuple[bytes, bytes]]
) -> None:
    for stored, described in parts:
        write_members(tmp_path / "old.pth", stored, described, pickle.dumps({}, 2))
        with pytest.raises(CheckpointError, match=words):
            open_checkpoint(tmp_path / "old.pth")


def test_a_tensor_that_is_not_in_it_is_said(tmp_path: Path) -> None:
    saved = b"\x80\x02}X\x01\0\0\0wX\x01\0\0\x009Qs."
    write_members(tmp_path / "old.pth", STORAGES, ONE + TENSOR + NUMBERS, saved)
    with pytest.raises(CheckpointError, match="refers to a tensor that is not in the archive"):
        open_checkpoint(tmp_path / "old.pth")


def test_an_object_that_is_larger_than_any_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    write_members(path, STORAGES, NONE, pickle.dumps({}, 2))
    member = tarfile.TarInfo("pickle")
    member.size = (64 << 20) + 1
    with path.open("r+b") as file:
        with tarfile.open(fileobj=file) as archive:
            at = archive.getmember("pickle").offset
        file.seek(at)
        file.write(member.tobuf())
        file.truncate(at + 512 + (65 << 20))
    with pytest.raises(
        CheckpointError,
        match=r"Loupe reads: a pickle in it has more than 67.1.MB; the file may be sound",
    ):
        open_checkpoint(path)


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
