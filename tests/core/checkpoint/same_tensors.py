"""What torch.save writes, opened and compared bit by bit with what was saved."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoint import Checkpoint
from core.tensors import chunks, read_tensor

Save = Callable[[Any, Path], None]


def save_zip(value: object, path: Path) -> None:
    torch.save(value, path)


def save_legacy(value: object, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


both_formats = pytest.mark.parametrize(
    ("save", "format"), [(save_zip, "zip"), (save_legacy, "legacy")], ids=["zip", "legacy"]
)


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def assert_same_tensors(
    checkpoint: Checkpoint, expected: Mapping[str, torch.Tensor], path: str | None = None
) -> None:
    found = checkpoint.state_dict(path)
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        entry = found[key]
        assert entry.shape == tuple(tensor.shape)
        assert f"torch.{entry.dtype}" == str(tensor.dtype)
        assert entry.requires_grad == tensor.requires_grad
        read = read_tensor(entry)
        assert torch.equal(bits(read), bits(tensor)), key
        pieces = [piece.clone() for piece in chunks(entry, max(64, entry.nbytes // 40))]
        streamed = torch.cat(pieces) if pieces else tensor.reshape(-1)
        assert torch.equal(bits(streamed), bits(tensor)), key
