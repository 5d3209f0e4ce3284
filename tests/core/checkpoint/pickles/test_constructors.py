"""Python's own containers in a pickle are read as what they contain."""

from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError
from tests.core.checkpoint.files_by_hand import call, text, with_tensor, zip_file
from tests.core.checkpoint.pickles.test_tensor_rebuilds import Rebuilt
from tests.core.checkpoint.same_tensors import Save, assert_same_tensors, both_formats


@both_formats
def test_a_state_dict_of_python_2_is_read_from_its_pairs(
    tmp_path: Path, save: Save, format: str
) -> None:
    """There an OrderedDict was pickled as a call with a list of lists."""
    weights = {"layer.weight": torch.randn(2, 3), "layer.bias": torch.ones(2)}
    pairs = [[key, tensor] for key, tensor in weights.items()]
    save({"state_dict": Rebuilt(OrderedDict, pairs), "epoch": 3}, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    loaded = torch.load(tmp_path / "m.pth", weights_only=False)["state_dict"]
    assert checkpoint.best == "state_dict"
    assert_same_tensors(checkpoint, loaded)
    assert checkpoint.metadata["epoch"] == 3


@pytest.mark.parametrize("protocol", range(2, 6))
def test_containers_and_values_of_each_protocol_are_metadata(tmp_path: Path, protocol: int) -> None:
    saved = {
        "w": torch.ones(1),
        "ordered": OrderedDict(a=1),
        "counter": Counter("aab"),
        "default": defaultdict(list, {"x": [1]}),
        "size": torch.Size([2, 3]),
        "device": [torch.device("cpu"), torch.device("cuda", 1)],
        "bytes": [b"ab\xff", bytearray(b"xy"), b""],
        "complex": 1 + 2j,
    }
    torch.save(saved, tmp_path / "m.pth", pickle_protocol=protocol)
    assert open_checkpoint(tmp_path / "m.pth").metadata == {
        "ordered": {"a": 1},
        "counter": {"a": 2, "b": 1},
        "default": {"x": [1]},
        "size": [2, 3],
        "device": ["cpu", "cuda:1"],
        "bytes": ["3 bytes", "2 bytes", "0 bytes"],
        "complex": "(1+2j)",
    }


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        (1.5, "1.5"),
        (1j, "1j"),
        (b"k", "b'k'"),
        ((1, "a"), "(1, 'a')"),
        ((1, (2, (3, 4))), "(1, (2, (…)))"),
        (1 << 70, hex(1 << 70)),
    ],
)
def test_a_key_that_is_no_text_is_shown_as_text(tmp_path: Path, key: object, shown: str) -> None:
    torch.save({"w": torch.ones(1), "by": {key: "value"}}, tmp_path / "m.pth")
    assert open_checkpoint(tmp_path / "m.pth").metadata["by"] == {shown: "value"}


OBJECTS = {
    "a dict of no pairs": call(b"ccollections\nOrderedDict\n", b"]K\x01a"),
    "complex of a text": call(b"cbuiltins\ncomplex\n", text("1")),
    "bytes of a number": call(b"cbuiltins\nbytes\n", b"K\x03"),
    "text in another encoding": call(b"c_codecs\nencode\n", text("a"), text("rot13")),
    "a device that is a number": call(b"ctorch\ndevice\n", b"K\x01"),
    "a tuple of a number": call(b"cbuiltins\ntuple\n", b"K\x01"),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_a_call_with_other_arguments_is_listed_as_an_object(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(OBJECTS[name])))
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert list(checkpoint.state_dict()) == ["w"]
    assert "class" in checkpoint.metadata["x"]  # type: ignore[operator]


def test_a_key_of_a_type_that_keys_never_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.pth").write_bytes(zip_file(with_tensor(b"}]K\x01s")))
    with pytest.raises(CheckpointError, match="a key in it has a type that keys never have"):
        open_checkpoint(tmp_path / "m.pth")
