"""Tensors that follow one another in a file are read at once, and are what they are one by one."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.checkpoint import StateDict, open_checkpoint
from core.checkpoint.containers.sources import MAX_BUFFERS, LocalFile
from core.errors import SourceError
from core.tensors import read_tensors_into

MANY = 3 * MAX_BUFFERS


def many() -> dict[str, torch.Tensor]:
    """More small tensors than one call can fill, of several dtypes and sizes; some are views."""
    made: dict[str, torch.Tensor] = {}
    for number in range(MANY):
        values = torch.arange(number % 7 + 1) + number
        made[f"{number}"] = values.to((torch.float32, torch.int64, torch.bfloat16)[number % 3])
    shared = torch.arange(24.0).view(4, 6)
    return {
        **made,
        "first rows": shared[:2],
        "transposed": shared.T,
        "last row": shared[3],
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(7),
        "large": torch.arange(600_000.0),
    }


def read(state_dict: StateDict) -> dict[str, torch.Tensor]:
    targets = [
        (entry, torch.full(entry.shape, 99, dtype=getattr(torch, entry.dtype)))
        for entry in state_dict.values()
    ]
    read_tensors_into(targets)
    return {entry.key: tensor for entry, tensor in targets}


@pytest.mark.parametrize("kind", ["zip", "stream", "safetensors"])
def test_each_tensor_has_its_own_bytes(tmp_path: Path, kind: str) -> None:
    tensors = many()
    path = tmp_path / "many"
    if kind == "safetensors":
        tensors = {key: tensor.clone().contiguous() for key, tensor in tensors.items()}
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=kind == "zip")
    found = read(open_checkpoint(path).state_dict())
    assert found.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert torch.equal(found[key], tensor), key


def test_a_file_that_is_written_to_meanwhile_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "many.pth"
    torch.save(many(), path)
    state_dict = open_checkpoint(path).state_dict()
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceError, match="changed while it was open"):
        read(state_dict)


def test_a_file_that_is_shorter_than_the_buffers_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"0123456789")
    first, second = bytearray(6), bytearray(6)
    with pytest.raises(SourceError):
        LocalFile(path).scatter(0, [memoryview(first), memoryview(second)])
    LocalFile(path).scatter(2, [memoryview(first)[:3], memoryview(second)[:5]])
    assert (first[:3], second[:5]) == (b"234", b"56789")
