"""Whatever torch.save is told, and whatever lies beside the tensors, the file opens alike."""

import argparse
import collections
import dataclasses
import enum
import io
import pathlib
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from core.checkpoint import open_checkpoint
from core.tensors import read_tensor
from tests.core.checkpoint.same_tensors import (
    Save,
    assert_same_tensors,
    both_formats,
    save_legacy,
    save_zip,
)

PROTOCOLS = [2, 3, 4, 5]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(action="ignore"):
        yield


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def several() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    return {
        "a": base,
        "view": base[1:3, ::2],
        "tied": base,
        "half": torch.randn(3).half(),
        "empty": torch.empty(0),
        "scalar": torch.tensor(3),
        "parameter": nn.Parameter(torch.randn(2, 2)),
        "numbers": torch.randn(2, dtype=torch.complex64),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_every_pickle_protocol_is_read(tmp_path: Path, protocol: int, zipped: bool) -> None:
    file = tmp_path / "protocol.pth"
    torch.save(
        {"state_dict": model().state_dict(), "epoch": 3, "name": "é" * 300},
        file,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    checkpoint = open_checkpoint(file)
    loaded = torch.load(file, weights_only=False)
    assert_same_tensors(checkpoint, loaded["state_dict"])
    versions = {
        module: facts["version"]
        for module, facts in loaded["state_dict"]._metadata.items()
        if "version" in facts
    }
    assert checkpoint.state_dict().versions == versions
    assert checkpoint.metadata == {"epoch": 3, "name": "é" * 300}


def without_checksums(file: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(several(), file)
    finally:
        torch.serialization.set_crc32_options(True)


def aligned(alignment: int) -> Callable[[Path], None]:
    def save(file: Path) -> None:
        from torch.utils.serialization import config

        with config.patch("save.storage_alignment", alignment):
            torch.save(several(), file)

    return save


def pinned(file: Path) -> None:
    from torch.utils.serialization import config

    with config.patch("save.use_pinned_memory_for_d2h", True):
        torch.save(several(), file)


def to_a_file_object(file: Path) -> None:
    with file.open("wb") as opened:
        torch.save(several(), opened)


def without_byteorder(file: Path) -> None:
    torch.save(several(), file, _disable_byteorder_record=True)


@pytest.mark.parametrize(
    "save",
    [without_checksums, aligned(4096), aligned(8), pinned, to_a_file_object, without_byteorder],
    ids=["no crc32", "aligned to a page", "aligned to 8", "pinned", "file object", "no byteorder"],
)
def test_every_option_gives_the_same_tensors(tmp_path: Path, save: Callable[[Path], None]) -> None:
    file = tmp_path / "options.pth"
    save(file)
    assert_same_tensors(open_checkpoint(file), torch.load(file))


@pytest.mark.parametrize("folder", ["archive", "resnet18", "a b", "détail", "x.y", "data"])
def test_the_folder_in_the_zip_may_have_any_name(tmp_path: Path, folder: str) -> None:
    torch.save(several(), tmp_path / f"{folder}.pth")
    named = tmp_path / "renamed.pth"
    (tmp_path / f"{folder}.pth").rename(named)
    with zipfile.ZipFile(named) as archive:  # torch takes "archive" for names that are not ASCII
        assert {f"{folder}/data.pkl", "archive/data.pkl"} & set(archive.namelist())
    assert_same_tensors(open_checkpoint(named), torch.load(named))


def test_records_carry_the_checksums_of_the_file_and_none_where_it_has_none(
    tmp_path: Path,
) -> None:
    torch.save(several(), tmp_path / "with.pth")
    without_checksums(tmp_path / "without.pth")
    with zipfile.ZipFile(tmp_path / "with.pth") as archive:
        expected = archive.getinfo("with/data/0").CRC
    record = open_checkpoint(tmp_path / "with.pth").state_dict()["a"].record
    assert record is not None
    assert record.crc32 == expected
    unchecked = open_checkpoint(tmp_path / "without.pth").state_dict()["a"].record
    assert unchecked is not None
    assert unchecked.crc32 is None


BIG_ENDIAN = {
    torch.float32: 4, torch.float64: 8, torch.float16: 2, torch.bfloat16: 2, torch.int64: 8,
    torch.int32: 4, torch.int16: 2, torch.int8: 1, torch.uint8: 1, torch.bool: 1,
    torch.complex64: 4, torch.complex128: 8,
}  # fmt: skip


def big_endian(source: Path, target: Path, widths: dict[str, int]) -> None:
    """The file as a big-endian machine would have written it: `widths` gives the bytes of the
    numbers in each storage."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            _, _, last = name.rpartition("/")
            if last == "byteorder":
                data = b"big"
            elif "/data/" in name and widths[last] > 1:
                data = np.frombuffer(data, f"u{widths[last]}").byteswap().tobytes()
            new.writestr(name, data)


def test_a_file_from_a_big_endian_machine_is_turned_round(tmp_path: Path) -> None:
    torch.manual_seed(0)
    saved = {str(dtype): (torch.randn(5, 4) * 9).to(dtype) for dtype in BIG_ENDIAN}
    torch.save(saved, tmp_path / "little.pth")
    widths = {str(index): width for index, width in enumerate(BIG_ENDIAN.values())}
    big_endian(tmp_path / "little.pth", tmp_path / "big.pth", widths)
    checkpoint = open_checkpoint(tmp_path / "big.pth")
    assert_same_tensors(checkpoint, torch.load(tmp_path / "big.pth"))
    assert_same_tensors(checkpoint, saved)


def test_views_and_quantized_tensors_of_a_big_endian_machine_are_turned_round(
    tmp_path: Path,
) -> None:
    whole = torch.randn(6, 7)
    quantized = torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint32)
    saved = {"columns": whole[:, 2:5].t(), "quantized": quantized}
    torch.save(saved, tmp_path / "little.pth")
    big_endian(tmp_path / "little.pth", tmp_path / "big.pth", {"0": 4, "1": 4})
    found = open_checkpoint(tmp_path / "big.pth").state_dict()
    loaded = torch.load(tmp_path / "big.pth")
    assert torch.equal(read_tensor(found["columns"]), loaded["columns"])
    assert torch.equal(read_tensor(found["quantized"]), loaded["quantized"].int_repr())


def test_untyped_storages_of_a_big_endian_machine_have_the_numbers_that_were_saved(
    tmp_path: Path,
) -> None:
    """torch.load takes an untyped storage for bytes and leaves these numbers as they lie."""
    saved = {"u16": torch.arange(5).to(torch.uint16), "c32": torch.ones(3).to(torch.complex32)}
    torch.save(saved, tmp_path / "little.pth")
    big_endian(tmp_path / "little.pth", tmp_path / "big.pth", {"0": 2, "1": 2})
    assert_same_tensors(open_checkpoint(tmp_path / "big.pth"), saved)
    assert torch.load(tmp_path / "big.pth")["u16"][1] == 256


def test_a_legacy_stream_is_little_endian_whatever_machine_it_names(tmp_path: Path) -> None:
    """torch writes these storages so on every machine, and torch.load does not look at the mark."""
    save_legacy(several(), tmp_path / "little.pth")
    data = (tmp_path / "little.pth").read_bytes()
    mark = data.index(b"little_endian")
    assert data[mark + 13 : mark + 16] == b"q\x02\x88"
    (tmp_path / "big.pth").write_bytes(data[: mark + 15] + b"\x89" + data[mark + 16 :])
    loaded = torch.load(tmp_path / "big.pth")
    assert_same_tensors(open_checkpoint(tmp_path / "big.pth"), loaded)


@both_formats
def test_numpy_values_and_namespaces_are_metadata(tmp_path: Path, save: Save, format: str) -> None:
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
    save(saved, tmp_path / "np.pth")
    with pytest.raises((pickle.UnpicklingError, RuntimeError), match="weights_only"):
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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_kind_of_numpy_value_is_told_or_named(tmp_path: Path, protocol: int) -> None:
    table = np.array([(1.0, 2), (3.0, 4)], dtype=[("a", "f4"), ("b", "i8")])
    saved = {
        "model": {"w": torch.ones(1)},
        "names": np.array(["cat", "dog", "Übermut"]),
        "bytes": np.array([b"cat", b"dog"]),
        "flags": np.array([True, False]),
        "objects": np.array(["cat", None, 3], dtype=object),
        "days": np.array(["2024-02-29", "NaT"], dtype="M8[D]"),
        "moment": np.datetime64("2024-02-29T12:34:56.789"),
        "span": np.timedelta64(90, "s"),
        "big": np.array([1.5, 2.5], dtype=">f8"),
        "complex": np.array([1 + 2j]),
        "columns": np.asfortranarray(np.arange(4).reshape(2, 2)),
        "table": table,
        "text": np.str_("cat"),
        "raw": np.bytes_(b"cat"),
        "flag": np.bool_(True),
        "nothing": np.array([]),
        "scalar": np.array(5),
        "many": np.zeros((100, 3)),
        "kind": np.dtype("f4"),
    }
    torch.save(saved, tmp_path / "np.pth", pickle_protocol=protocol)
    metadata = open_checkpoint(tmp_path / "np.pth").metadata
    assert metadata == {
        "names": ["cat", "dog", "Übermut"],
        "bytes": ["cat", "dog"],
        "flags": [True, False],
        "objects": ["cat", None, 3],
        "days": ["2024-02-29", "NaT"],
        "moment": "2024-02-29T12:34:56.789000",
        "span": "90 s",
        "big": [1.5, 2.5],
        "complex": ["(1+2j)"],
        "columns": np.arange(4).reshape(2, 2).T.reshape(-1).tolist(),
        "table": "numpy array of V12, 2",
        "text": "cat",
        "raw": "cat",
        "flag": True,
        "nothing": [],
        "scalar": [5],
        "many": "numpy array of f8, 100 × 3",
        "kind": "numpy dtype f4",
    }


def test_a_date_of_another_width_than_dates_have_is_named_alone(tmp_path: Path) -> None:
    saved = {"w": torch.ones(1), "days": np.array(["2024-02-29"] * 3, dtype="M8[D]")}
    torch.save(saved, tmp_path / "days.pth")
    renamed(tmp_path / "days.pth", tmp_path / "wrong.pth", b"K\x03\x85q", b"K\x02\x85q")
    assert open_checkpoint(tmp_path / "wrong.pth").metadata == {"days": "numpy array of M8, 2"}


def renamed(source: Path, target: Path, before: bytes, after: bytes) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(before, after))


def test_the_older_names_of_numpys_functions_are_known(tmp_path: Path) -> None:
    saved = {"w": torch.ones(1), "loss": np.float64(0.5), "curve": np.ones(2)}
    torch.save(saved, tmp_path / "new.pth")
    renamed(tmp_path / "new.pth", tmp_path / "old.pth", b"numpy._core.", b"numpy.core.")
    assert open_checkpoint(tmp_path / "old.pth").metadata == {"loss": 0.5, "curve": [1.0, 1.0]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_weights_that_are_numpy_arrays_are_tensors(tmp_path: Path, protocol: int) -> None:
    weights = {
        "w": np.random.default_rng(0).normal(size=(30, 40)).astype(np.float32),
        "turned": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "big": np.arange(5, dtype=">i4"),
        "none": np.zeros((0, 3), np.uint8),
    }
    saved = {"model": weights, "__author__": "somebody"}
    torch.save(saved, tmp_path / "np.pth", pickle_protocol=protocol)
    checkpoint = open_checkpoint(tmp_path / "np.pth")
    assert list(checkpoint.state_dict("model")) == list(weights)
    for key, array in weights.items():
        read = read_tensor(checkpoint.state_dict("model")[key])
        assert read.numpy().tolist() == array.tolist()
        assert read.numpy().dtype == array.dtype.newbyteorder("=")


class Mode(enum.Enum):
    FAST = "fast"


@dataclasses.dataclass
class Options:
    lr: float
    mode: Mode


class Slots:
    __slots__ = ("depth",)

    def __init__(self) -> None:
        self.depth = 3


class Weights(collections.OrderedDict[str, torch.Tensor]):
    """A mapping of a class of somebody's own."""


class Settings(dict[str, Any]):
    """Another."""


@both_formats
def test_values_of_any_class_stay_inert_data(tmp_path: Path, save: Save, format: str) -> None:
    saved = {
        "state_dict": {"w": torch.ones(1)},
        "options": Options(0.1, Mode.FAST),
        "slots": Slots(),
        "counter": collections.Counter("aab"),
        "path": pathlib.PurePosixPath("/data/run"),
        "settings": Settings(depth=18),
        "pair": collections.OrderedDict(a=(1, 2)),
        "frozen": frozenset({1}),
        "raw": b"\0\1",
        "array": bytearray(b"ab"),
        "number": 1 + 2j,
        "huge": 1 << 70,
        "dtype": torch.float16,
        "device": torch.device("cuda", 1),
        "size": torch.Size([2, 3]),
        "layout": torch.sparse_csr,
        "range": range(3),
    }
    save(saved, tmp_path / "any.pth")
    checkpoint = open_checkpoint(tmp_path / "any.pth")
    here = __name__
    assert list(checkpoint.state_dicts) == ["state_dict"]
    metadata = dict(checkpoint.metadata)
    assert metadata.pop("options") == {
        "class": f"{here}.Options",
        "lr": 0.1,
        "mode": {"class": f"{here}.Mode", "args": ["fast"]},
    }
    assert metadata == {
        "slots": {"class": f"{here}.Slots", "depth": 3},
        "counter": {"a": 2, "b": 1},
        "path": "/data/run",
        "settings": {"class": f"{here}.Settings", "depth": 18},
        "pair": {"a": [1, 2]},
        "frozen": [1],
        "raw": "2 bytes",
        "array": "2 bytes",
        "number": "(1+2j)",
        "huge": hex(1 << 70),
        "dtype": "torch.float16",
        "device": "cuda:1",
        "size": [2, 3],
        "layout": "torch.sparse_csr",
        "range": {"class": "__builtin__.xrange", "args": [0, 3, 1]},
    }


def test_an_object_of_an_unknown_class_stays_inert_data(tmp_path: Path) -> None:
    config = OmegaConf.create({"model": {"depth": 18}, "lr": 0.1})
    torch.save({"state_dict": {"w": torch.ones(1)}, "config": config}, tmp_path / "omega.ckpt")
    checkpoint = open_checkpoint(tmp_path / "omega.ckpt")
    assert list(checkpoint.state_dict()) == ["w"]
    shown = str(checkpoint.metadata["config"])
    assert "omegaconf.dictconfig.DictConfig" in shown
    assert "18" in shown


@both_formats
def test_a_state_dict_of_a_class_of_its_own_keeps_its_order_and_versions(
    tmp_path: Path, save: Save, format: str
) -> None:
    weights = model().state_dict()
    saved = Weights(weights)
    saved._metadata = weights._metadata  # type: ignore[attr-defined]
    save({"model": saved}, tmp_path / "own.pth")
    checkpoint = open_checkpoint(tmp_path / "own.pth")
    assert_same_tensors(checkpoint, dict(saved), "model")
    assert checkpoint.state_dict("model").versions["1"] == 2


class Extra(nn.Linear):
    """A module with more than tensors in its state_dict."""

    def get_extra_state(self) -> Any:
        return {"calls": 7, "scale": torch.ones(2)}


def test_extra_state_is_in_the_state_dict_where_it_is_a_tensor_and_else_metadata(
    tmp_path: Path,
) -> None:
    saved = nn.Sequential(Extra(2, 3), nn.Linear(3, 1)).state_dict()
    save_zip(saved, tmp_path / "extra.pth")
    checkpoint = open_checkpoint(tmp_path / "extra.pth")
    assert list(checkpoint.state_dict("")) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert list(checkpoint.state_dict("0._extra_state")) == ["scale"]
    assert checkpoint.best == ""
    assert checkpoint.metadata == {"0._extra_state": {"calls": 7}}


def test_keys_that_are_numbers_or_have_dots_are_kept_apart(tmp_path: Path) -> None:
    saved = {0: torch.ones(1), "a.b": {"c": torch.ones(2)}, "é": torch.ones(3), "": torch.ones(4)}
    save_zip(saved, tmp_path / "keys.pth")
    checkpoint = open_checkpoint(tmp_path / "keys.pth")
    assert list(checkpoint.state_dict("")) == ["0", "é", ""]
    assert list(checkpoint.state_dict("a.b")) == ["c"]


def test_a_file_that_was_written_after_other_bytes_of_a_stream_opens(tmp_path: Path) -> None:
    """torch.save to a buffer, and the buffer's bytes to a file."""
    buffer = io.BytesIO()
    torch.save(several(), buffer)
    (tmp_path / "buffer.pth").write_bytes(buffer.getvalue())
    assert_same_tensors(open_checkpoint(tmp_path / "buffer.pth"), several())
