"""A stream of torch.save that contradicts itself is refused in a sentence."""

import pickle
import struct
from pathlib import Path

import pytest

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError
from tests.core.checkpoint.files_by_hand import LEGACY_HEADS, TENSOR, with_tensor

DOUBLES = TENSOR.replace(b"FloatStorage", b"DoubleStorage")


def stream(keys: list[str], numel: int = 16, value: bytes = b"N") -> bytes:
    head = b"".join([*LEGACY_HEADS, with_tensor(value), pickle.dumps(keys, 2)])
    return head + struct.pack("<q", numel) + bytes(64) + struct.pack("<q", numel) + bytes(64)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (stream(["0"], value=DOUBLES), "a storage in it has two dtypes"),
        (stream(["0", "0"]), "A storage in the stream has an impossible size"),
        (stream(["0"], numel=-1), "A storage in the stream has an impossible size"),
        (stream(["0"], numel=1 << 60), "A storage in the stream has an impossible size"),
        (stream(["1"]), "refers to the storage 0, which it does not contain"),
    ],
    ids=["two dtypes", "twice", "negative", "huge", "another"],
)
def test_what_is_wrong_in_it_is_said(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "m.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(tmp_path / "m.pth")
