"""What pickle.dump wrote opens too, where it holds tensors or arrays: nothing of it is loaded."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core.checkpoint import Checkpoint, StateDict, Verdict, open_checkpoint
from core.errors import CheckpointError
from core.tensors import read_tensor
from tests.bounds import at_most
from tests.core.checkpoint.pickles.python2 import python2_dumps

pytestmark = pytest.mark.filterwarnings("ignore")


def dumped(tmp_path: Path, value: object, protocol: int = 4) -> Path:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(40, 30), nn.BatchNorm1d(30), nn.Linear(30, 2))


def same(found: StateDict, expected: Mapping[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert found[key].shape == tuple(tensor.shape)
        assert found[key].dtype == str(tensor.dtype).removeprefix("torch.")
        assert torch.equal(read_tensor(found[key]), tensor.detach()), key


@pytest.mark.parametrize("protocol", range(6))
def test_a_state_dict_opens_as_pickle_loads_it(tmp_path: Path, protocol: int) -> None:
    """Failure mode 12."""
    path = dumped(tmp_path, model().state_dict(), protocol)
    expected = pickle.loads(path.read_bytes())
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == "pickle"
    same(checkpoint.state_dict(), expected)
    assert checkpoint.state_dict().versions["1"] == 2
    assert any("pickle.dump" in note for note in checkpoint.notes)
    assert not any("is itself a pickle" in note for note in checkpoint.notes)


def test_views_and_every_plain_dtype_open(tmp_path: Path) -> None:
    base = torch.arange(48).reshape(6, 8)
    dtypes = (torch.bfloat16, torch.float16, torch.float64, torch.bool, torch.uint8, torch.int64)
    saved = {
        **{str(dtype): base.to(dtype) for dtype in dtypes},
        "transposed": base.t(),
        "row": base[3, 2:5],
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
        "parameter": nn.Parameter(torch.ones(3)),
        "complex": torch.randn(3, dtype=torch.complex64),
    }
    found = open_checkpoint(dumped(tmp_path, saved)).state_dict()
    same(found, saved)
    assert found["parameter"].requires_grad


def test_a_whole_model_opens_without_its_class(tmp_path: Path) -> None:
    whole = model()
    found = open_checkpoint(dumped(tmp_path, whole)).state_dict()
    same(found, whole.state_dict())
    assert found.classes[""] == "torch.nn.modules.container.Sequential"


def test_tensors_stand_beside_their_metadata(tmp_path: Path) -> None:
    saved = {"epoch": 7, "state_dict": model().state_dict(), "log": b"x" * 9000}
    checkpoint = open_checkpoint(dumped(tmp_path, saved))
    assert checkpoint.best == "state_dict"
    assert checkpoint.metadata == {"epoch": 7, "log": "9,000 bytes"}


ARRAYS = {
    "conv1_w": np.random.default_rng(0).normal(size=(8, 3, 7, 7)).astype(np.float32),
    "fortran": np.asfortranarray(np.arange(2000.0).reshape(40, 50)),
    "big": np.arange(1500, dtype=">i4"),
    "small": np.arange(3, dtype=np.uint8),
    "half": np.ones((2, 2), np.float16),
}


def same_arrays(found: StateDict, expected: Mapping[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for key, array in expected.items():
        assert found[key].shape == array.shape
        native = array.astype(array.dtype.newbyteorder("="))
        assert np.array_equal(read_tensor(found[key]).numpy(), native), key


@pytest.mark.parametrize("protocol", range(2, 6))
def test_named_numpy_arrays_are_tensors(tmp_path: Path, protocol: int) -> None:
    saved = {"model": ARRAYS, "__author__": "somebody", "matching_heuristics": True}
    checkpoint = open_checkpoint(dumped(tmp_path, saved, protocol))
    same_arrays(checkpoint.state_dict("model"), ARRAYS)
    assert checkpoint.metadata["__author__"] == "somebody"


def test_arrays_that_python_2_pickled_keep_every_byte(tmp_path: Path) -> None:
    saved = {"blobs": {**ARRAYS, "accents": np.frombuffer("é ü".encode() * 4, np.uint8)}}
    (tmp_path / "model.pkl").write_bytes(python2_dumps(saved, 2))
    found = open_checkpoint(tmp_path / "model.pkl").state_dict("blobs")
    same_arrays(found, saved["blobs"])


def test_paddles_parameters_are_arrays_beside_their_names(tmp_path: Path) -> None:
    names = {key: f"linear_0.{key}" for key in ARRAYS}
    path = dumped(tmp_path, {**ARRAYS, "StructuredToParameterName@@": names}, 2)
    same_arrays(open_checkpoint(path).state_dict(), ARRAYS)


def held_bytes(checkpoint: Checkpoint) -> int:
    """The bytes of the tensors that are in memory, and not in the file."""
    return sum(
        record.nbytes
        for record in checkpoint.records()
        if type(record.source).__name__ == "InMemory"
    )


@pytest.mark.parametrize("protocol", [4, 5])
def test_large_tensors_and_arrays_stay_in_the_file(tmp_path: Path, protocol: int) -> None:
    path = dumped(tmp_path, {"w": torch.zeros(100_000)}, protocol)
    assert held_bytes(open_checkpoint(path)) == 0
    path = dumped(tmp_path, {"w": np.zeros(100_000)}, protocol)
    assert held_bytes(open_checkpoint(path)) == 0


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


def test_a_call_beside_the_tensors_is_told_and_not_made(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(dumped(tmp_path, {"w": torch.ones(2), "x": Harmful()}))
    assert list(checkpoint.state_dict()) == ["w"]
    verdicts = {use.name: use.verdict for use in checkpoint.globals}
    assert verdicts["builtins.exec"] is Verdict.DANGEROUS


class LoadedFromBytes:
    """What torch.load would be given, whatever it is."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return torch.storage._load_from_bytes, (self.data,)


def legacy(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


@pytest.mark.parametrize("padding", [0, 9000], ids=["short", "long"])
def test_a_call_inside_of_a_storages_stream_is_told(tmp_path: Path, padding: int) -> None:
    inner = legacy({"padding": "x" * padding, "call": Harmful()})
    saved = {"w": torch.ones(2), "x": LoadedFromBytes(inner)}
    checkpoint = open_checkpoint(dumped(tmp_path, saved))
    use = next(use for use in checkpoint.globals if use.name.endswith(".exec"))
    assert use.verdict is Verdict.DANGEROUS
    assert not use.hidden


@pytest.mark.parametrize(
    "data",
    [b"", b"text", pickle.dumps([1]), legacy(torch.ones(3))],
    ids=["empty", "text", "list", "tensor"],  # not by its length, which varies with an address
)
def test_bytes_that_are_no_storage_stay_what_they_are(tmp_path: Path, data: bytes) -> None:
    path = dumped(tmp_path, {"w": torch.ones(2), "x": LoadedFromBytes(data)})
    assert list(open_checkpoint(path).state_dict()) == ["w"]


def test_a_storage_that_is_cut_off_within_the_pickle_is_said(tmp_path: Path) -> None:
    path = dumped(tmp_path, {"w": LoadedFromBytes(legacy(torch.ones(99).storage())[:-9])})
    with pytest.raises(CheckpointError, match="cut off"):
        open_checkpoint(path)


def test_a_heavy_stream_that_is_loaded_often_is_read_once(tmp_path: Path) -> None:
    inner = legacy([0] * 100_000)
    calls = [LoadedFromBytes(inner) for _ in range(3000)]
    path = dumped(tmp_path, {"w": torch.ones(2), "calls": calls})
    with at_most(calls=3_000_000):
        open_checkpoint(path)


@pytest.mark.slow
def test_many_heavy_streams_are_refused(tmp_path: Path) -> None:
    calls = [LoadedFromBytes(legacy([number] * 300_000)) for number in range(15)]
    path = dumped(tmp_path, {"w": torch.ones(2), "calls": calls})
    with (
        at_most(calls=6_000_000),
        pytest.raises(CheckpointError, match="more than Loupe reads: streams"),
    ):
        open_checkpoint(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.999])
def test_a_pickle_that_is_cut_off_is_said(tmp_path: Path, share: float) -> None:
    path = dumped(tmp_path, model().state_dict())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match="cut off"):
        open_checkpoint(path)


def test_a_name_that_is_longer_than_any_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"\x80\x02c" + b"a" * 9000 + b"\nb\n.")
    with pytest.raises(CheckpointError, match="Loupe reads: a line in its pickle has more than"):
        open_checkpoint(tmp_path / "m.pkl")


def test_lengths_beyond_the_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04\x8e" + b"\xff" * 8 + b"abc.")
    with pytest.raises(CheckpointError, match="cut off"):
        open_checkpoint(tmp_path / "m.pkl")


def test_whatever_byte_is_wrong_it_opens_or_is_refused(tmp_path: Path) -> None:
    path = dumped(tmp_path, {"w": torch.ones(2, 3), "a": {"b": np.ones(700)}})
    data = path.read_bytes()
    for at in [*range(0, 900, 3), *range(900, len(data), 97)]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            for entry in open_checkpoint(path).state_dict().values():
                read_tensor(entry)
        except CheckpointError:
            continue


def test_arrays_open_though_texts_and_numbers_are_beside_them(tmp_path: Path) -> None:
    """As in Caffe2's pickles of blobs."""
    arrays = {key: value.numpy() for key, value in model().state_dict().items()}
    value = {"lr": 0.1, "step": 3, **arrays, "config": "a", "note": None}
    same(open_checkpoint(dumped(tmp_path, value)).state_dict(), model().state_dict())
