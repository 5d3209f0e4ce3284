"""The numbers of B against A equal those that torch gives for the loaded tensors."""

import math
import tracemalloc

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.measure import comparable, difference, differences
from core.errors import LoupeError
from core.jobs import Cancelled, Progress
from tests.core.odd_tensors import ODD


@pytest.fixture
def saved(tmp_path):
    """Save a tensor as torch does, and give its entry as it is read back."""
    made = iter(range(100))

    def save(tensor):
        path = tmp_path / f"{next(made)}.pth"
        torch.save({"w": tensor}, path)
        return open_checkpoint(path).state_dict()["w"]

    return save


FLOATS = ["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
WHOLES = ["int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"]


def pair_of(dtype: str, numel: int = 100_003) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    kind = getattr(torch, dtype)
    if dtype in WHOLES:
        high = 2 if dtype == "bool" else 100
        return tuple(torch.randint(0, high, (numel,)).to(kind) for _ in "ab")
    a = torch.randn(numel, dtype=torch.float64)
    return a.to(kind), (a + 0.1 * torch.randn(numel, dtype=torch.float64)).to(kind)


@pytest.mark.parametrize("dtype", FLOATS + WHOLES)
def test_the_numbers_are_those_of_torch_in_every_dtype(saved, dtype):
    a, b = pair_of(dtype)
    found = difference(saved(a), saved(b))
    x, y = a.double(), b.double()
    d = y - x
    assert found.count == a.numel()
    assert found.max_abs == float(d.abs().max())
    assert found.mean_abs == pytest.approx(float(d.abs().mean()), rel=1e-9)
    assert found.relative_l2 == pytest.approx(float(d.norm() / x.norm()), rel=1e-9)
    assert found.cosine == pytest.approx(float(torch.cosine_similarity(x, y, dim=0)), rel=1e-9)
    assert found.changed == int((x != y).sum())
    assert found.changed_share == found.changed / a.numel()


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_are_measured_by_the_size_of_their_difference(saved, dtype):
    torch.manual_seed(0)
    a, b = (torch.randn(40_000, dtype=getattr(torch, dtype)) for _ in "ab")
    found = difference(saved(a), saved(b))
    x, y = a.to(torch.complex128), b.to(torch.complex128)
    assert found.max_abs == pytest.approx(float((y - x).abs().max()), rel=1e-12)
    assert found.mean_abs == pytest.approx(float((y - x).abs().mean()), rel=1e-12)
    assert found.relative_l2 == pytest.approx(float((y - x).norm() / x.norm()), rel=1e-12)
    assert found.changed == 40_000


def test_nan_and_inf_are_counted_and_left_out_of_the_rest(saved):
    nan, inf = math.nan, math.inf
    a = torch.tensor([1.0, nan, nan, inf, inf, 2.0, 3.0, -inf])
    b = torch.tensor([1.5, nan, 1.0, inf, -inf, nan, 3.0, -inf])
    found = difference(saved(a), saved(b))
    assert (found.nan_a, found.nan_b, found.inf_a, found.inf_b) == (2, 2, 3, 3)
    assert found.max_abs == 0.5
    assert found.mean_abs == 0.25
    assert found.changed == 4
    assert found.relative_l2 == pytest.approx(0.5 / math.sqrt(10))


def test_nothing_but_nan_has_no_distance(saved):
    found = difference(saved(torch.full((9,), math.nan)), saved(torch.full((9,), math.nan)))
    assert (found.nan_a, found.max_abs, found.changed, found.cosine) == (9, 0.0, 0, None)


def test_equal_tensors_are_at_no_distance(saved):
    a = torch.randn(70_000)
    found = difference(saved(a), saved(a.clone()))
    assert (found.max_abs, found.mean_abs, found.relative_l2, found.changed) == (0, 0, 0, 0)
    assert found.cosine == pytest.approx(1)


def test_away_from_zeros_the_relative_distance_is_infinite(saved):
    found = difference(saved(torch.zeros(3)), saved(torch.ones(3)))
    assert found.relative_l2 == math.inf
    assert found.cosine is None


def test_half_precision_is_measured_against_full(saved):
    a = torch.randn(50_000)
    found = difference(saved(a), saved(a.half()))
    assert found.max_abs == float((a.half().double() - a.double()).abs().max())
    assert 0 < found.relative_l2 < 1e-3


def test_large_integers_keep_their_last_digit(saved):
    a = torch.tensor([2**60, 2**62, -(2**63)])
    b = torch.tensor([2**60 + 1, 2**62, 2**63 - 1])
    found = difference(saved(a[:2].clone()), saved(b[:2].clone()))
    assert (found.max_abs, found.changed) == (1.0, 1)
    assert difference(saved(a), saved(b)).max_abs == 2.0**64


def test_a_strided_view_is_measured_as_what_it_shows(saved):
    a = torch.randn(300, 200)
    found = difference(saved(a.T), saved(a.T.contiguous() + 1))
    assert found.max_abs == pytest.approx(1, rel=1e-6)
    assert found.count == 60_000


def test_a_tiny_difference_does_not_vanish(saved):
    a = torch.full((1000,), 1e-30)
    found = difference(saved(a), saved(a * 2))
    assert found.relative_l2 == pytest.approx(1, rel=1e-6)


def test_tensors_of_different_shapes_have_no_numbers(saved):
    a, b = saved(torch.ones(3)), saved(torch.ones(4))
    assert not comparable(a, b)
    assert not comparable(a, None)
    with pytest.raises(LoupeError, match="their shapes differ"):
        difference(a, b)


def test_a_cancel_keeps_the_rows_that_are_done(saved):
    pairs = [(saved(torch.ones(10)), saved(torch.zeros(10))) for _ in range(3)]
    progress = Progress()
    done = {}

    def take():
        for index, numbers in differences(pairs, progress=progress):
            done[index] = numbers
            if index == 1:
                progress.cancel()

    with pytest.raises(Cancelled):
        take()
    assert list(done) == [0, 1]
    assert progress.total == 30


def test_a_large_pair_takes_little_memory(saved):
    a, b = saved(torch.zeros(8_000_000)), saved(torch.ones(8_000_000))
    tracemalloc.start()
    assert difference(a, b).mean_abs == 1
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_quantized_tensors_differ_by_what_their_scales_give(saved):
    """FIELD 29: the same integers under other scales are other numbers."""
    doubled = torch._make_per_tensor_quantized_tensor(ODD["per_tensor"].int_repr(), 0.04, 3)
    found = difference(saved(ODD["per_tensor"]), saved(doubled))
    far = (doubled.dequantize() - ODD["per_tensor"].dequantize()).abs().max()
    assert found.max_abs == pytest.approx(float(far), rel=1e-6)


def test_a_quantized_tensor_is_measured_against_the_floats_that_it_came_from(saved):
    floats = torch.linspace(-1, 1, 40).reshape(8, 5)
    found = difference(saved(floats), saved(ODD["per_tensor"]))
    assert 0 < found.max_abs <= 0.011


@pytest.mark.parametrize("name", ["coo", "csr", "nested"])
def test_tensors_whose_elements_have_no_fixed_places_have_no_numbers(saved, name):
    entry = saved(ODD[name])
    assert not comparable(entry, entry)
    with pytest.raises(LoupeError, match="sparse or nested"):
        difference(entry, entry)
