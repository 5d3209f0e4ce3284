"""numpy's arrays and scalars in a pickle have the values that numpy reads from it."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError
from core.tensors import read_tensor
from tests.core.checkpoint.files_by_hand import call, text, with_tensor, zip_file
from tests.core.checkpoint.pickles.python2 import Python2Module, python2_dumps

ARRAYS = {
    "floats": np.arange(4, dtype=np.float32) * -1.5,
    "utf-8": np.frombuffer("é€ü".encode(), np.uint8),
    "latin-1": np.frombuffer("éü".encode("latin-1"), np.uint8),
    "quotes": np.frombuffer(b"a'b\n\\x41\"", np.uint8),
    "wide": np.random.default_rng(0).normal(size=(60, 50)),
}


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_the_arrays_of_python_2_are_what_pickle_loads(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(python2_dumps(ARRAYS, protocol))
    expected = pickle.loads(path.read_bytes(), encoding="latin1")
    found = open_checkpoint(path).state_dict()
    assert list(found) == list(ARRAYS)
    for key, array in expected.items():
        assert np.array_equal(read_tensor(found[key]).numpy(), array), key


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_the_arrays_beside_the_tensors_of_python_2_are_what_torch_loads(
    tmp_path: Path, zipped: bool
) -> None:
    """Their bytes may look like text in UTF-8."""
    accents = np.frombuffer("éééé".encode(), np.float64)
    saved = {
        "w": torch.ones(2),
        "array": ARRAYS["utf-8"],
        "bytes": ARRAYS["latin-1"],
        "scalar": accents[0],
        "names": np.array(["é", "abc"]),
        "labels": np.array([b"ab", b"\xc3\xa9"]),
    }
    path = tmp_path / "python2.pth"
    torch.save(saved, path, pickle_module=Python2Module, _use_new_zipfile_serialization=zipped)
    loaded = torch.load(path, weights_only=False, encoding="latin1")
    checkpoint = open_checkpoint(path)
    assert torch.equal(read_tensor(checkpoint.state_dict()["w"]), loaded["w"])
    assert checkpoint.metadata == {
        "array": loaded["array"].tolist(),
        "bytes": loaded["bytes"].tolist(),
        "scalar": float(loaded["scalar"]),
        "names": loaded["names"].tolist(),
        "labels": [label.decode() for label in loaded["labels"].tolist()],
    }


@pytest.mark.parametrize("protocol", [1, 2])  # with protocol 0, torch.load fails too
def test_the_dates_of_python_2_have_their_unit(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "python2.pth"
    days = np.array(["2020-01-01", "1999-12-31"], "M8[D]")
    saved = {"w": torch.ones(1), "days": days}
    torch.save(saved, path, pickle_module=Python2Module, pickle_protocol=protocol)
    assert open_checkpoint(path).metadata["days"] == ["2020-01-01", "1999-12-31"]


def test_dates_are_text_however_far_they_are(tmp_path: Path) -> None:
    dates = {
        "day": np.datetime64("2020-05-01"),
        "seconds": np.datetime64("2020-05-01T10:00:30"),
        "nanoseconds": np.datetime64("2020-05-01T10:00:30.5", "ns"),
        "none": np.datetime64("NaT"),
        "far": np.datetime64(10**17, "s"),
        "long ago": np.datetime64(-(10**17), "s"),
        "year": np.datetime64("2020", "Y"),
        "span": np.timedelta64(3, "D"),
    }
    torch.save({"w": torch.ones(1), "dates": dates}, tmp_path / "dates.pth")
    assert open_checkpoint(tmp_path / "dates.pth").metadata["dates"] == {
        "day": "2020-05-01",
        "seconds": "2020-05-01T10:00:30",
        "nanoseconds": "2020-05-01T10:00:30.500000",
        "none": "NaT",
        "far": "100000000000000000 s since 1970",
        "long ago": "-100000000000000000 s since 1970",
        "year": "50 Y since 1970",
        "span": "3 D",
    }


@pytest.mark.parametrize("protocol", [2, 4])
def test_an_array_of_another_library_s_dtype_has_its_shape(tmp_path: Path, protocol: int) -> None:
    array = np.ones((3, 2), pytest.importorskip("ml_dtypes").bfloat16)
    torch.save({"w": torch.ones(1), "x": array}, tmp_path / "m.pth", pickle_protocol=protocol)
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert list(checkpoint.state_dict()) == ["w"]
    assert checkpoint.metadata == {"x": "numpy array of unknown, 3 × 2"}


def test_an_array_of_texts_is_no_tensor_and_its_texts_are_listed(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1), "classes": np.array(["cat", "dög"])}, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert list(checkpoint.state_dict()) == ["w"]
    assert checkpoint.metadata == {"classes": ["cat", "dög"]}


U1 = call(b"cnumpy\ndtype\n", text("u1"), b"\x89", b"\x88")
EMPTY = call(b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n", b"K\0\x85", b"C\x01b")
MULTIARRAY = b"cnumpy.core.multiarray\nscalar\n"
OBJECTS = {
    "a dtype whose code is a number": call(b"cnumpy\ndtype\n", b"K\x01"),
    "a scalar without a dtype": call(MULTIARRAY, text("u1"), b"C\x01a"),
    "a scalar without bytes": call(MULTIARRAY, U1, b"K\x01"),
    "a buffer without a dtype": call(
        b"cnumpy.core.numeric\n_frombuffer\n", b"C\x01a", b"N", b"K\x01\x85", text("C")
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_a_call_of_numpy_that_numpy_refuses_is_an_object(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(zip_file(with_tensor(OBJECTS[name])))
    with pytest.raises((TypeError, ValueError, AttributeError)):
        torch.load(path, weights_only=False)
    checkpoint = open_checkpoint(path)
    assert list(checkpoint.state_dict()) == ["w"]
    assert checkpoint.metadata["x"]["class"].startswith("numpy.")  # type: ignore[call-overload,index]


DAMAGED = {
    "no state": EMPTY + b"K\x01b",
    "a shape that is a number": EMPTY + b"(K\x01K\x02" + U1 + b"\x89C\x02abtb",
    "a length that is a text": EMPTY + b"(K\x01" + text("a") + b"\x85" + U1 + b"\x89C\x01atb",
    "no dtype": EMPTY + b"(K\x01K\x02\x85N\x89C\x02abtb",
    "a thousand dimensions": EMPTY + b"(K\x01(" + b"K\x01" * 1000 + b"t" + U1 + b"\x89C\x01atb",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_an_array_whose_state_is_damaged_is_refused_as_numpy_refuses_it(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(zip_file(with_tensor(DAMAGED[name])))
    with pytest.raises((TypeError, ValueError, MemoryError)):
        torch.load(path, weights_only=False)
    with pytest.raises(CheckpointError, match=r"pickle is damaged: an? array"):
        open_checkpoint(path)


def test_an_array_with_fewer_bytes_than_its_shape_needs_has_no_values(tmp_path: Path) -> None:
    short = EMPTY + b"(K\x01K\x05\x85" + U1 + b"\x89C\x02abtb"
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(short)))
    assert open_checkpoint(tmp_path / "m.pth").metadata == {"x": "numpy array of u1, 5"}
