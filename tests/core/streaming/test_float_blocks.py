"""Numpy and torch read the same numbers from a file, for every dtype and every layout."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from core.checkpoint import TensorEntry, open_checkpoint
from core.compare.numbers import differences
from core.streaming.float_blocks import (
    BLOCK,
    MAX_SPAN,
    READ_BY_NUMPY,
    block_pairs,
    float_blocks,
    is_read_by_numpy,
)
from core.streaming.torch_blocks import torch_blocks
from tests.core.odd_tensors import ODD, turn_round

DTYPES = sorted(READ_BY_NUMPY)
SIZE = 1000
"""Elements of a block, so that a tensor has several."""


@pytest.fixture
def saved(tmp_path: Path):
    """Save a tensor as torch does, and give its entry as it is read back."""
    made = itertools.count()

    def save(tensor: torch.Tensor, *, big_endian: bool = False) -> TensorEntry:
        path = tmp_path / f"{next(made)}.pth"
        torch.save({"w": tensor}, path)
        if big_endian:
            width = tensor.element_size() // (2 if tensor.is_complex() else 1)
            turn_round(path, path := tmp_path / "turned.pth", width)
        return open_checkpoint(path).state_dict()["w"]

    return save


def of_any_bits(dtype: str, numel: int) -> torch.Tensor:
    """Elements of random bits, with NaN, infinities and subnormal numbers among them."""
    kind = getattr(torch, dtype)
    torch.manual_seed(0)
    if dtype == "bool":
        return torch.randint(0, 2, (numel,)).bool()
    return torch.randint(0, 256, (numel * kind.itemsize,), dtype=torch.uint8).view(kind)


def assert_read_alike(entry: TensorEntry, *, numbers: int) -> None:
    """Both readers give the same blocks, bit for bit where an element is a number."""
    assert is_read_by_numpy(entry)
    number = 0
    for ours, theirs in zip(float_blocks(entry, SIZE), torch_blocks(entry, SIZE), strict=True):
        assert ours.numel == theirs.numel
        np.testing.assert_array_equal(ours.values, theirs.values)
        assert (ours.exact is None) == (theirs.exact is None)
        if ours.exact is not None:
            np.testing.assert_array_equal(ours.exact, theirs.exact)
        number += ours.numel
    assert number == numbers


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_read_as_torch_reads_it(saved, dtype):
    assert_read_alike(saved(of_any_bits(dtype, 70_000)), numbers=70_000)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_file_from_a_big_endian_machine_is_read_as_torch_reads_it(saved, dtype):
    assert_read_alike(saved(of_any_bits(dtype, 2500), big_endian=True), numbers=2500)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "view",
    [
        lambda tensor: tensor.view(50, 60).t(),
        lambda tensor: tensor.view(50, 60)[3:40:2, 5:50],
        lambda tensor: tensor[100:],
        lambda tensor: tensor[:1].expand(40, 70),
        lambda tensor: tensor[7].reshape(()),
        lambda tensor: tensor.view(2, 25, 60).permute(2, 0, 1),
    ],
    ids=["transposed", "strided", "offset", "expanded", "scalar", "permuted"],
)
def test_every_view_is_read_as_torch_reads_it(saved, dtype, view):
    tensor = view(of_any_bits(dtype, 3000))
    assert_read_alike(saved(tensor), numbers=tensor.numel())


def test_what_numpy_cannot_read_is_read_by_torch(saved):
    for key in ("per_tensor", "per_channel", "columns"):
        entry = saved(ODD[key])
        assert not is_read_by_numpy(entry)
        values = np.concatenate([block.values for block in float_blocks(entry)])
        np.testing.assert_allclose(values, ODD[key].dequantize().reshape(-1), rtol=1e-6)
    conjugate = saved(torch.randn(9, dtype=torch.complex64).conj())
    assert not is_read_by_numpy(conjugate)
    wide = torch.zeros(2, MAX_SPAN // 4 + 1)
    assert is_read_by_numpy(saved(wide))
    assert not is_read_by_numpy(saved(wide.t()))


def test_an_empty_tensor_has_no_block(saved):
    assert list(float_blocks(saved(torch.ones(0, 3)))) == []


def test_complex_numbers_are_measured_against_real_ones(saved):
    x, y = torch.randn(BLOCK + 5), torch.randn(BLOCK + 5, dtype=torch.complex64)
    ((_, found),) = differences([(saved(x), saved(y))])
    step = (y.to(torch.complex128) - x.to(torch.complex128)).abs()
    assert found.max_abs == pytest.approx(float(step.max()))
    assert found.norm_difference == pytest.approx(float(step.norm()))
    assert all(a.values.size == b.values.size for a, b in block_pairs(saved(x), saved(y)))
