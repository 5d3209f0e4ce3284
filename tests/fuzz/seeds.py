"""Small real files of every format that Loupe reads, from which the mutated ones are made."""

import argparse
import bz2
import gzip
import io
import lzma
import pickle
import tarfile
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.distributed.checkpoint as dcp
from huggingface_hub import save_torch_state_dict
from torch import nn
from torch.package import PackageExporter

from tests.core.checkpoint.readers.test_torch_tar import save_tar

Files = Mapping[str, bytes]
"""A checkpoint's files by their name in its folder; a single file is called ``."""


def seeds() -> dict[str, Files]:
    """All of them, by the name of their row in SEEDS; equal from run to run."""
    made = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        for number, (name, write) in enumerate(SEEDS.items()):
            torch.manual_seed(0)
            path = Path(folder) / str(number)
            write(path)
            made[name] = _files(path)
    return made


def _files(path: Path) -> Files:
    if path.is_file():
        return {"": path.read_bytes()}
    found = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in found}


def _tensors() -> dict[str, torch.Tensor]:
    """Views, a tied weight, an empty one, a scalar, a parameter, and dtypes of each size."""
    weight = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "conv.weight": weight,
        "conv.tied": weight,
        "conv.view": weight.t()[1:4],
        "conv.row": weight[2],
        "bn.num_batches_tracked": torch.tensor(7),
        "bn.running_mean": torch.ones(3, dtype=torch.bfloat16),
        "head.bias": nn.Parameter(torch.zeros(5, dtype=torch.float64)),
        "head.mask": torch.tensor([True, False]),
        "head.empty": torch.empty(0, 3),
        "head.expanded": torch.ones(1).expand(1000),
        "head.complex": torch.ones(2, dtype=torch.complex64),
    }


def _model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))


def _torch_save(value: Callable[[], object], **options: bool | int) -> Callable[[Path], None]:
    return lambda path: torch.save(value(), path, **options)


def _legacy(path: Path) -> None:
    """The stream names storages by their addresses, which are made equal from run to run."""
    tensors = sorted(
        (torch.zeros(12) for _ in range(4)), key=lambda one: str(one.untyped_storage()._cdata)
    )
    views = {f"layer{i}.weight": one.fill_(i).reshape(3, 4) for i, one in enumerate(tensors)}
    views["layer0.view"] = tensors[0][2:8]
    torch.save(views, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for number, tensor in enumerate(tensors):
        address = str(tensor.untyped_storage()._cdata)
        content = content.replace(address.encode(), f"{number:0{len(address)}d}".encode())
    path.write_bytes(content)


def _training() -> dict[str, object]:
    """What a training script saves beside the weights."""
    model = _model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model(torch.ones(1, 1, 2, 2).expand(2, 1, 2, 2)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "global_step": 1 << 40,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": model.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "hyper_parameters": {"lr": 0.01, "widths": (6, 2), "name": "Ünï", "args": [None, True]},
        "args": argparse.Namespace(lr=0.1, out=Path("runs/1")),
        "best": np.float64(0.5),
        "history": np.arange(6, dtype=np.float32).reshape(2, 3),
        "seen": {1, 2},
        "dtype": torch.float16,
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
    }


class _Scripted(nn.Module):
    """Unlike nn.Linear, it has no annotations, which are written in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))
        self.register_buffer("count", torch.tensor(3))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return batch @ self.weight


def _torchscript(path: Path) -> None:
    torch.jit.save(torch.jit.script(_Scripted()), path)


def _safetensors(path: Path) -> None:
    weights = {
        "a.weight": torch.ones(4, 2),
        "a.bias": torch.zeros(4, dtype=torch.bfloat16),
        "b.count": torch.tensor(3),
        "b.empty": torch.empty(0, 2),
    }
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})


def _kinds() -> dict[str, object]:
    """Tensors that are more than strided elements."""
    dense = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    scales, zeros = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
    return {
        "quantized": torch.quantize_per_tensor(dense, 0.5, 2, torch.qint8),
        "channels": torch.quantize_per_channel(dense, scales, zeros, 0, torch.quint8),
        "coo": dense.to_sparse(),
        "csr": dense.to_sparse_csr(),
        "bsc": dense.to_sparse_bsc((1, 2)),
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "jagged": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        "meta": torch.empty(3, device="meta"),
        "conjugate": torch.ones(2, dtype=torch.complex64).conj(),
        "parameter": nn.Parameter(torch.ones(2)),
        "buffer": nn.Buffer(torch.ones(2)),
        "float8": torch.ones(4).to(torch.float8_e4m3fn),
    }


def _shards(safe: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.mkdir()
        weights = {f"layer{i}.weight": torch.full((4, 4), float(i)) for i in range(3)}
        save_torch_state_dict(weights, path, max_shard_size=150, safe_serialization=safe)

    return write


def _distributed(path: Path) -> None:
    dcp.save({"model": _model().state_dict(), "step": 5}, checkpoint_id=path, no_dist=True)
    # It holds the folder's name, and a number that is another each time.
    metadata = pickle.loads((path / ".metadata").read_bytes())
    metadata.storage_meta = None
    (path / ".metadata").write_bytes(pickle.dumps(metadata))


def _parts(path: Path) -> None:
    path.mkdir()
    save_torch_state_dict(_model().state_dict(), path)
    torch.save({"state": {0: {"step": 1, "exp_avg": torch.ones(2)}}}, path / "optimizer.pt")
    torch.save({"last_epoch": 3}, path / "scheduler.pt")


def _exported(path: Path) -> None:
    program = torch.export.export(_model().eval(), (torch.ones(1, 1, 2, 2),))
    torch.export.save(program, path.with_suffix(".pt2"))
    path.with_suffix(".pt2").rename(path)


def _frozen(path: Path) -> None:
    torch.jit.save(torch.jit.freeze(torch.jit.script(_Scripted().eval())), path)


def _old_tar(path: Path) -> None:
    """It names tensors by their addresses, which are made equal from run to run."""
    weight = torch.arange(24.0).reshape(4, 6)
    row = weight[2]
    save_tar({"epoch": 3, "state_dict": {"weight": weight, "row": row}}, path)
    content = path.read_bytes()
    for number, tensor in enumerate((weight, row)):
        for address in range(id(tensor), id(tensor) + 3):
            new = 16 * number + address - id(tensor)
            length = len(str(address))
            content = content.replace(str(address).encode(), f"{new:0{length}d}".encode())
            content = content.replace(address.to_bytes(6, "little"), new.to_bytes(6, "little"))
    path.write_bytes(content)


def _packed(compress: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        saved = io.BytesIO()
        torch.save(_tensors(), saved)
        path.write_bytes(compress(saved.getvalue()))

    return write


def _package(path: Path) -> None:
    with PackageExporter(str(path)) as exporter:
        exporter.extern("**")
        exporter.save_pickle("inside", "model.pkl", _model())
        exporter.save_pickle("inside", "weights.pkl", {"weight": torch.ones(3)})


def _in_a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, method in (("notes.txt", zipfile.ZIP_STORED), ("m.pth", zipfile.ZIP_DEFLATED)):
            member = zipfile.ZipInfo(f"release/{name}")
            member.compress_type = method
            archive.writestr(member, safetensors.torch.save({"w": torch.ones(9)}))


def _in_a_tar(path: Path) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("release/" + "long/" * 30 + "model.safetensors")
        data = safetensors.torch.save({"w": torch.ones(9)})
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"w": np.ones((3, 2), dtype=np.float32)}))


SEEDS: Mapping[str, Callable[[Path], None]] = {
    "zip, protocol 2": _torch_save(_tensors),
    "zip, protocol 5": _torch_save(_tensors, pickle_protocol=5),
    "training zip": _torch_save(_training),
    "training zip, protocol 4": _torch_save(_training, pickle_protocol=4),
    "ordered zip": _torch_save(lambda: OrderedDict(_model().state_dict())),
    "legacy": _legacy,
    "whole model": _torch_save(_model),
    "torchscript": _torchscript,
    "kinds of tensors": _torch_save(_kinds),
    "frozen torchscript": _frozen,
    "exported program": _exported,
    "old tar": _old_tar,
    "plain pickle": _pickled,
    "package": _package,
    "in a gzip": _packed(partial(gzip.compress, mtime=0)),
    "in a bzip2": _packed(bz2.compress),
    "in an xz": _packed(lzma.compress),
    "in a zip": _in_a_zip,
    "in a tar": _in_a_tar,
    "safetensors": _safetensors,
    "safetensors shards": _shards(safe=True),
    "PyTorch shards": _shards(safe=False),
    "distributed": _distributed,
    "parts": _parts,
}
"""Name → what writes a small file, or a folder of files, of that kind."""
