"""Byte strings of a pickle that begin like a file of weights and do not open are told."""

import io
import pickle
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as safetensors

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError

WEIGHTS = {"w": torch.arange(3.0)}


def saved(*, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


INNER = [
    pytest.param(saved(zipped=True), "a zip archive, which torch.save writes", id="zip"),
    pytest.param(saved(zipped=False), "a file of torch.save before torch 1.6", id="stream"),
    pytest.param(safetensors(WEIGHTS), "a safetensors file", id="safetensors"),
]


def broken(inner: bytes) -> bytes:
    """A file whose first bytes are those of its format, and the rest zeros."""
    return inner[:32] + bytes(len(inner) - 32)


@pytest.mark.parametrize(("inner", "kind"), INNER)
def test_bytes_that_do_not_open_are_told(tmp_path: Path, inner: bytes, kind: str) -> None:
    torch.save({"model": WEIGHTS, "actors": [{"blob": broken(inner)}]}, tmp_path / "a.pth")
    notes = open_checkpoint(tmp_path / "a.pth").notes
    told = [note for note in notes if f"begin like {kind}" in note]
    assert len(told) == 1
    assert "`actors.0.blob`" in told[0]
    assert told[0].endswith("write them to a file of their own, and open that.")


@pytest.mark.parametrize("wrap", [bytes, bytearray], ids=["bytes", "bytearray"])
@pytest.mark.parametrize(("inner", "kind"), INNER)
def test_bytes_alone_that_do_not_open_are_told_in_the_refusal(
    tmp_path: Path, inner: bytes, kind: str, wrap: type[bytes]
) -> None:
    torch.save(wrap(broken(inner)), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="contains no tensor: only bytes") as refused:
        open_checkpoint(tmp_path / "a.pth")
    assert f"of bytes in it begin like {kind}" in refused.value.remedy


@pytest.mark.parametrize(
    "value", [b"", b"PK", b"{}", bytes(40), b"\x10" + bytes(7) + b'{"', pickle.dumps(3)]
)
def test_other_bytes_are_no_file(tmp_path: Path, value: bytes) -> None:
    torch.save({"model": WEIGHTS, "value": value}, tmp_path / "a.pth")
    assert not any("begin like" in note for note in open_checkpoint(tmp_path / "a.pth").notes)


def test_long_keys_around_one_another_are_not_written_out(tmp_path: Path) -> None:
    key = "x" * 100_000
    nested: dict[str, object] = {"blob": broken(saved(zipped=True))}
    for _ in range(200):
        nested = {key: nested}
    torch.save({"model": WEIGHTS, "nested": nested}, tmp_path / "a.pth")
    tracemalloc.start()
    try:
        notes = open_checkpoint(tmp_path / "a.pth").notes
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert [len(note) < 400 for note in notes if "begin like a zip" in note] == [True]
