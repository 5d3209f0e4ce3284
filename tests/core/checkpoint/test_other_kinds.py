"""What is no checkpoint is called what it is, with what to do: never torch's own advice."""

import json
import pickle
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import TensorProto, helper
from sklearn.linear_model import LinearRegression

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError


def fitted() -> LinearRegression:
    return LinearRegression().fit(np.eye(3), np.ones(3))


def onnx_model(path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["x2"])], "g", [value], [])
    model = helper.make_model(graph)
    onnx.save(model, path)


def onnx_with_producer(path: Path) -> None:
    graph = helper.make_graph([], "g", [], [])
    onnx.save(helper.make_model(graph, producer_name="pytorch"), path)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["kernel"] = np.ones(3)


def npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.ones(3))


def npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (x)")


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


WRITERS: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "onnx": (onnx_model, "ONNX model"),
    "onnx of torch": (onnx_with_producer, "ONNX model"),
    "hdf5": (hdf5, "HDF5 file"),
    "npy": (npy, "numpy array"),
    "npz": (npz, r"numpy \.npz"),
    "joblib": (lambda path: joblib.dump({"w": np.ones(9)}, path), "joblib"),
    "joblib zlib": (
        lambda path: joblib.dump(fitted(), path, compress=3),
        r"In the zlib file: .*joblib",
    ),
    "joblib gzip": (
        lambda path: joblib.dump(fitted(), path, compress=("gzip", 3)),
        r"In the gzip file: .*joblib",
    ),
    "sklearn": (lambda path: path.write_bytes(pickle.dumps(fitted())), "scikit-learn"),
    "pandas": (lambda path: pd.DataFrame({"a": [1]}).to_pickle(path), "pandas"),
    "numpy pickle": (
        lambda path: path.write_bytes(pickle.dumps(np.ones((2, 3)))),
        "pickle of numpy arrays",
    ),
    "harmful pickle": (
        lambda path: path.write_bytes(pickle.dumps({"w": Harmful()})),
        r"would have run builtins\.exec",
    ),
    "parquet": (lambda path: pd.DataFrame({"a": [1]}).to_parquet(path), "Parquet"),
    "sqlite": (database, "SQLite"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_that_another_library_wrote_is_named(tmp_path: Path, kind: str) -> None:
    """Failure modes 12 and 37."""
    write, words = WRITERS[kind]
    path = tmp_path / "model.pth"
    write(path)
    with pytest.raises(CheckpointError, match=words) as raised:
        open_checkpoint(path)
    assert raised.value.remedy
    assert "weights_only" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_pickle_that_nothing_makes_a_checkpoint_of_is_not_to_be_trusted(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_pickle(tmp_path / "table.pkl")
    with pytest.raises(CheckpointError) as raised:
        open_checkpoint(tmp_path / "table.pkl")
    assert raised.value.remedy == "Choose a file that torch.save or safetensors wrote."


HEADS: Mapping[str, bytes] = {
    "GGUF file": b"GGUF\x03\x00\x00\x00" + bytes(64),
    "GGML file": b"lmgg\x01\x00\x00\x00" + bytes(64),
    "TensorFlow Lite": b"\x1c\x00\x00\x00TFL3" + bytes(64),
    "TensorFlow SavedModel": b"\x08\x01\x12\xff\x03" + bytes(64),
    "TensorFlow graph": b"\x0a\x2d\x0a\x05input\x12\x0bPlaceholder" + bytes(64),
    "TensorRT": b"ftrt\x00\x00" + bytes(64),
    "MXNet": b"\x12\x01" + bytes(80),
    "Core ML": b"\x08\x01\x12\x12\x0a\x10\x0a\x05image\x1a\x07" + bytes(64),
    "index of a TensorFlow checkpoint": b"\0\0\x06\x08\x01\x1a\x02\x08\x01\0" + bytes(64),
    "names the latest TensorFlow checkpoint": b'model_checkpoint_path: "model.ckpt-1"\n',
    "Caffe": b"\x0a\x05VGG16\xa2\x06\x20" + bytes(64),
    "PaddlePaddle program": b"\x0a\x40\x08\0\x10\xff" + bytes(64),
    "ExecuTorch": b"\x1c\0\0\0ET12" + bytes(64),
    "as Ultralytics writes": b'\x10\0\0\0{"batch": [1,2]}ftrt' + bytes(64),
    "Orbax": b"\x0c\xdb\x3a\x2a" + bytes(64),
    "MATLAB": b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(64),
    "metadata that macOS keeps": b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(64),
    "nothing but zeros": bytes(4096),
    "WebP image": b"RIFF\x20\0\0\0WEBPVP8 " + bytes(64),
    "MessagePack": b"\x81\xa6params\x82\xa5Dense" + bytes(64),
    "7-Zip": b"7z\xbc\xaf\x27\x1c" + bytes(64),
    "zstd": b"\x28\xb5\x2f\xfd" + bytes(64),
    "RAR": b"Rar!\x1a\x07\x01\x00" + bytes(64),
    "split zip": b"PK\x07\x08PK\x03\x04" + bytes(64),
    "PNG image": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "JPEG image": b"\xff\xd8\xff\xe0" + bytes(64),
    "PDF document": b"%PDF-1.7\n" + bytes(64),
    "OpenVINO": b'<?xml version="1.0"?>\n<net name="resnet" version="11">\n</net>',
    "AccessDenied": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "index of shards": json.dumps({"metadata": {}, "weight_map": {"w": "m.bin"}}).encode(),
    "model's configuration": json.dumps({"architectures": ["Bert"]}).encode(),
    "Rate limit exceeded": b'{"message": "Rate limit exceeded"}',
    "titled “Sign in”": b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>",
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
}
"""How files of libraries that are not here begin, by what a person is told."""


@pytest.mark.parametrize("words", HEADS)
def test_a_file_is_named_by_how_it_begins(tmp_path: Path, words: str) -> None:
    """Failure modes 13, 14 and 37."""
    (tmp_path / "model.pth").write_bytes(HEADS[words])
    with pytest.raises(CheckpointError, match=words) as raised:
        open_checkpoint(tmp_path / "model.pth")
    assert raised.value.remedy
    assert "weights_only" not in str(raised.value)


@pytest.mark.parametrize("name", ["model.ckpt.data-00000-of-00001", "model.pdiparams"])
def test_a_file_whose_bytes_tell_nothing_is_named_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(np.linspace(1, 2, 99).tobytes())
    with pytest.raises(CheckpointError, match=r"TensorFlow|PaddlePaddle"):
        open_checkpoint(tmp_path / name)


MEMBERS: Mapping[str, tuple[str, ...]] = {
    "Core ML": (
        "m.mlpackage/Manifest.json",
        "m.mlpackage/Data/com.apple.CoreML/model.mlmodel",
        "m.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
    ),
    "Keras": ("metadata.json", "config.json", "model.weights.h5"),
    "TensorFlow SavedModel": ("m/saved_model.pb", "m/variables/variables.data-00000-of-00001"),
    "TensorFlow.js": ("model.json", "group1-shard1of1.bin"),
    "TensorFlow checkpoint": ("checkpoint", "m.ckpt.index", "m.ckpt.data-00000-of-00001"),
    "Orbax": ("step/manifest.ocdbt", "step/d/0123456789abcdef"),
}
"""What lies in archives and folders of other libraries."""


@pytest.mark.parametrize("words", MEMBERS)
def test_an_archive_or_folder_is_named_by_what_lies_in_it(tmp_path: Path, words: str) -> None:
    folder = tmp_path / "folder"
    for name in MEMBERS[words]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"some bytes")
    for path in (
        folder,
        Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder)),
        Path(shutil.make_archive(str(tmp_path / "packed"), "tar", folder)),
    ):
        with pytest.raises(CheckpointError, match=words) as raised:
            open_checkpoint(path)
        assert raised.value.remedy


def test_a_checkpoint_beside_files_of_another_kind_opens(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"\x08\x01\x12")
    np.save(folder / "mean.npy", np.ones(3))
    torch.save({"w": torch.ones(2)}, folder / "best.pth")
    for path in (folder, Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))):
        assert list(open_checkpoint(path).state_dict()) == ["w"]
