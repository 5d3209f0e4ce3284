"""A limit of Loupe's own is told as one, with its number: the file may be sound."""

import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file

from core.checkpoint import open_checkpoint
from core.checkpoint.readers import plain_pickle, torch_legacy, torch_tar
from core.checkpoint.sets import shards
from core.errors import CheckpointError

INDEX = "model.safetensors.index.json"


def _metadata(folder: Path) -> Path:
    dcp.save({"w": torch.ones(1)}, checkpoint_id=folder)
    with (folder / ".metadata").open("r+b") as file:
        file.truncate((128 << 20) + 1)
    return folder


def _many_dimensions(folder: Path) -> Path:
    dcp.save({"w": torch.ones([1] * 65)}, checkpoint_id=folder)
    return folder


def _index(document: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / INDEX).write_text(document)
        save_file({"w": torch.ones(1)}, folder / "model-00001-of-00001.safetensors")
        return folder

    return make


def _long_index(folder: Path) -> Path:
    with (folder / INDEX).open("wb") as file:
        file.truncate((64 << 20) + 1)
    return folder


def _ranks(folder: Path) -> Path:
    for rank in range(3):
        name = f"shard-{rank:05}-model-{rank + 1:05}-of-00003.safetensors"
        sharding = json.dumps({"w": {"saved_offsets": [rank]}})
        save_file({"w": torch.ones(1)}, folder / name, {"DCP_SHARDING_INFO": sharding})
    return folder


def _exported(config: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "m.pt2", "w") as archive:
            archive.writestr("m/archive_format", "pt2")
            archive.writestr("m/data/weights/model_weights_config.json", config)
        return folder / "m.pt2"

    return make


def _described(**meta: object) -> str:
    sizes = [{"as_int": 1}] * 65
    facts = {"dtype": 7, "sizes": sizes, "strides": sizes, "storage_offset": {"as_int": 0}}
    return json.dumps({"config": {"w": {"path_name": "w", "tensor_meta": facts | meta}}})


def _old_pickle(protocol: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        arrays = {"w": numpy.zeros(5_000), "b": numpy.ones(3)}
        (folder / "m.pkl").write_bytes(pickle.dumps(arrays, protocol))
        return folder / "m.pkl"

    return make


def _dimensions(folder: Path) -> Path:
    torch.save({"w": torch.ones([1] * 65), "b": torch.ones(1)}, folder / "m.pth")
    return folder / "m.pth"


def _safetensors(folder: Path) -> Path:
    header = json.dumps({"w": {"dtype": "U8", "shape": [1] * 65, "data_offsets": [0, 1]}}).encode()
    (folder / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0")
    return folder / "m.safetensors"


def _tar(name: str, times: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with tarfile.open(folder / "m.tar", "w", format=tarfile.GNU_FORMAT) as archive:
            archive.addfile(tarfile.TarInfo(name))
        header = (folder / "m.tar").read_bytes()[:512]
        if times > 1:
            (folder / "m.tar").write_bytes(header * times + bytes(1024))
        return folder / "m.tar"

    return make


def _zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "m.zip", "w") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}.pth", b"")
    return folder / "m.zip"


def _keys_of_stream(folder: Path) -> Path:
    """A stream whose object's pickle is longer than is read at once, and so are its keys."""
    tensors = {f"layer.{number}.weight": torch.zeros(1) for number in range(40)}
    file = io.BytesIO()
    torch.save(tensors, file, _use_new_zipfile_serialization=False)
    (folder / "m.pth").write_bytes(file.getvalue())
    return folder / "m.pth"


KEYS = ",".join(f'"{number}":"a"' for number in range(500_001))
FILES = ",".join(f'"{number}":"{number}"' for number in range(4_097))
CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "description of a distributed checkpoint": (_metadata, ".metadata has more than 134 MB"),
    "dimensions in it": (_many_dimensions, "a tensor in it has more than 64 dimensions"),
    "index": (_long_index, f"{INDEX} has more than 67.1 MB"),
    "keys of an index": (
        _index(f'{{"weight_map":{{{KEYS}}}}}'),
        f"{INDEX} names more than 500 000 keys",
    ),
    "files of an index": (
        _index(f'{{"weight_map":{{{FILES}}}}}'),
        f"{INDEX} names more than 4 096 files",
    ),
    "objects of a JSON": (
        _index('{"weight_map":[' + "{}," * 500_000 + "{}]}"),
        f"{INDEX} has more than 500 000 objects",
    ),
    "levels of a JSON": (
        _index('{"weight_map":' + "[" * 200_000 + "]" * 200_000 + "}"),
        f"{INDEX} is nested more deeply than Python reads",
    ),
    "files of ranks": (_ranks, "it has more than 2 files of ranks"),
    "tensors of an exported program": (
        _exported(f'{{"config":{{{KEYS}}}}}'),
        "m/data/weights/model_weights_config.json names more than 500 000 tensors",
    ),
    "dimensions in an exported program": (
        _exported(_described()),
        "a tensor in it has more than 64 dimensions",
    ),
    "dimensions in a pickle": (_dimensions, "a tensor in it has more than 64 dimensions"),
    "dimensions in safetensors": (_safetensors, "w has more than 64 dimensions"),
    "pickle of protocol 0": (
        _old_pickle(0),
        "it is a pickle of protocol 0 or 1 with more than 10.0 kB",
    ),
    "pickle of protocol 1": (
        _old_pickle(1),
        "it is a pickle of protocol 0 or 1 with more than 10.0 kB",
    ),
    "name in a tar": (_tar("n" * 70_000, 1), "a name in it has more than 65.5 kB"),
    "members of a tar": (_tar("m.pth", 20_001), "it has more than 20 000 members"),
    "checkpoints in a zip": (
        _zip,
        "it contains 10 001 files with names like those of checkpoints, more than 10 000",
    ),
    "keys of a stream": (_keys_of_stream, "the list of its storages has more than 50 B"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_limit_of_loupe_s_own_is_never_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(plain_pickle, "MAX_OLD", 10_000)
    monkeypatch.setattr(plain_pickle, "MAX_HIDDEN", 5_000)
    monkeypatch.setattr(torch_legacy, "MAX_KEYS", 50)
    if case == "keys of a stream":
        monkeypatch.setattr(torch_legacy, "MAX_PICKLES", 1_000)
        monkeypatch.setattr(torch_legacy, "FIRST_READ", 1_000)
    if case == "files of ranks":
        monkeypatch.setattr(shards, "MAX_SHARDS", 2)
    make, limit = CASES[case]
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(make(tmp_path))
    problem = refused.value.problem.replace("\u202f", " ")
    assert problem == f"The file has more than Loupe reads: {limit}; the file may be sound."
    assert refused.value.remedy


def test_a_long_pickle_in_an_old_tar_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_tar, "MAX_PICKLE", 100)
    monkeypatch.setattr(torch_tar, "FIRST_READ", 50)
    _old_tar(tmp_path / "m.tar")
    with pytest.raises(CheckpointError, match=r"a pickle in it has more than 100.B; the file may"):
        open_checkpoint(tmp_path / "m.tar")


def _old_tar(path: Path) -> None:
    long = pickle.dumps(0, 2) + pickle.dumps("x" * 2_000, 2)
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.size = len(long)
            archive.addfile(member, io.BytesIO(long))


def test_a_long_text_is_no_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_pickle, "MAX_OLD", 10_000)
    monkeypatch.setattr(plain_pickle, "MAX_HIDDEN", 5_000)
    for start in (
        "Table of contents\n",
        "class Foo:\n    pass\nTrue\n",
        "(I think that\n",
        "col\na\n",
    ):
        (tmp_path / "m.txt").write_text(start + "One more sentence. " * 1_000 + ".")
        with pytest.raises(CheckpointError) as refused:
            open_checkpoint(tmp_path / "m.txt")
        assert "Loupe reads" not in refused.value.problem
