"""Long bytes in a pickle of torch.save stay in the file, and are read from there."""

import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.checkpoint import Verdict, open_checkpoint
from core.checkpoint.containers.latin1_text import BLOCK, Latin1Text
from core.checkpoint.containers.sources import InMemory
from core.tensors import read_tensor

both_formats = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class OnXla:
    """Pickled as torch.save pickles a tensor of an XLA device: as a numpy array."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self.tensor.numpy(), self.tensor.dtype, "xla:1", False)
        return torch._utils._rebuild_device_tensor_from_numpy, arguments


@both_formats
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("xla", [False, True], ids=["numpy", "xla"])
def test_large_arrays_stay_in_the_file(
    tmp_path: Path, zipped: bool, protocol: int, xla: bool
) -> None:
    """Protocol 2 writes their bytes as text, of which each second byte takes two."""
    arrays = {f"layer{i}.weight": torch.randn(2, 1_500_000) for i in range(2)}
    model = {key: OnXla(value) if xla else value.numpy() for key, value in arrays.items()}
    torch.save(
        {"model": model, "rng_state": torch.ByteTensor([1])},
        tmp_path / "m.pth",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    tracemalloc.start()
    try:
        checkpoint = open_checkpoint(tmp_path / "m.pth")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    state_dict = checkpoint.state_dict("model")
    assert list(state_dict) == list(arrays)
    for key, value in arrays.items():
        assert torch.equal(read_tensor(state_dict[key]), value)


@both_formats
def test_a_pickle_in_bytes_that_stay_in_the_file_is_told(tmp_path: Path, zipped: bool) -> None:
    inner = b"\x80\x02cos\nsystem\n."
    saved = {"w": torch.ones(1), "code": inner, "large": b"x" * (17 << 20)}
    path = tmp_path / "m.pth"
    torch.save(saved, path, pickle_protocol=4, _use_new_zipfile_serialization=zipped)
    (use,) = (use for use in open_checkpoint(path).globals if use.name == "os.system")
    assert use.verdict is Verdict.DANGEROUS


@both_formats
def test_tensors_beside_a_large_array_are_read(tmp_path: Path, zipped: bool) -> None:
    saved = {"model": {f"w{i}": torch.full((3,), float(i)) for i in range(300)}}
    buffer = np.zeros((17, 1 << 20), np.uint8)
    path = tmp_path / "m.pth"
    torch.save({"buffer": buffer, **saved}, path, _use_new_zipfile_serialization=zipped)
    checkpoint = open_checkpoint(path)
    assert list(checkpoint.state_dicts) == ["model"]
    for key, value in saved["model"].items():
        assert torch.equal(read_tensor(checkpoint.state_dict()[key]), value)


def test_any_part_of_a_text_s_bytes_is_read() -> None:
    data = random.Random(1).randbytes(3 * BLOCK)
    source = Latin1Text(InMemory(data.decode("latin-1").encode()))
    assert source.size == len(data)
    assert source.read(0, source.size) == data
    chance = random.Random(2)
    for _ in range(100):
        start, nbytes = chance.randrange(len(data)), chance.randrange(2 * BLOCK)
        assert source.read(start, nbytes) == data[start : start + nbytes]


@pytest.mark.parametrize("text", ["€".encode(), b"\xff", b"a\xc3", b"\x80"])
def test_text_that_is_no_bytes_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="codec can't"):
        Latin1Text(InMemory(text))
