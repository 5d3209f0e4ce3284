"""Streamed statistics and histograms equal those of torch over the loaded tensor."""

import math
from dataclasses import replace

import pytest
import torch

from core.checkpoint import ITEMSIZES, NUMBERLESS, numbers_note, open_checkpoint
from core.compare import comparable
from core.errors import CheckpointError, LoupeError
from core.progress import Cancelled, Progress
from core.tensors.value_statistics import histogram, statistics
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


def tensor_of(dtype: str) -> torch.Tensor:
    torch.manual_seed(0)
    kind = getattr(torch, dtype)
    if kind == torch.bool:
        return torch.rand(77_777) > 0.3
    if not kind.is_floating_point:
        return torch.randint(0, 120, (77_777,)).to(kind)
    return (3 + torch.randn(77_777, dtype=torch.float64)).to(kind)


DTYPES = [
    *["float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"],
    *["int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"],
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_statistics_are_those_of_torch_in_every_dtype(saved, dtype):
    """bf16 cannot even become numpy (FIELD 30): here it is upcast like all others."""
    tensor = tensor_of(dtype)
    found = statistics(saved(tensor))
    values = tensor.double()
    assert (found.min, found.max) == (float(values.min()), float(values.max()))
    assert found.mean == pytest.approx(float(values.mean()), rel=1e-9)
    assert found.std == pytest.approx(float(values.std()), rel=1e-9)
    assert found.zeros == int((values == 0).sum())
    assert (found.count, found.nan, found.inf, found.finite) == (77_777, 0, 0, 77_777)


def test_a_large_mean_does_not_swallow_a_small_spread(saved):
    tensor = 1e8 + torch.randn(200_000, dtype=torch.float64)
    assert statistics(saved(tensor)).std == pytest.approx(float(tensor.std()), rel=1e-9)


def test_nan_and_inf_are_counted_and_left_out_of_the_moments(saved):
    tensor = torch.randn(100_000)
    finite = tensor[5:].double()
    tensor[:5] = torch.tensor([math.nan, math.nan, math.inf, -math.inf, math.inf])
    found = statistics(saved(tensor))
    assert (found.nan, found.inf) == (2, 3)
    assert (found.min, found.max) == (float(finite.min()), float(finite.max()))
    assert found.mean == pytest.approx(float(finite.mean()), rel=1e-9)
    assert found.std == pytest.approx(float(finite.std()), rel=1e-9)


def test_large_integers_keep_their_last_digit(saved):
    found = statistics(saved(torch.tensor([2**60 + 1, -(2**60) - 1])))
    assert (found.min, found.max) == (-(2**60) - 1, 2**60 + 1)
    unsigned = statistics(saved(torch.tensor([2**64 - 1, 5], dtype=torch.uint64)))
    assert (unsigned.min, unsigned.max) == (5, 2**64 - 1)


def test_complex_numbers_are_measured_by_their_magnitude(saved):
    tensor = torch.randn(50_000, dtype=torch.complex64)
    found = statistics(saved(tensor))
    sizes = tensor.to(torch.complex128).abs()
    assert found.of == "magnitude"
    assert found.max == pytest.approx(float(sizes.max()))
    assert found.std == pytest.approx(float(sizes.std()), rel=1e-9)


@pytest.mark.parametrize(
    ("tensor", "mean", "std"),
    [
        (torch.empty(0, 4), None, None),
        (torch.tensor(math.nan), None, None),
        (torch.tensor(3.0), 3.0, None),
    ],
)
def test_what_has_no_moments_says_none(saved, tensor, mean, std):
    found = statistics(saved(tensor))
    assert (found.mean, found.std) == (mean, std)
    assert found.count == tensor.numel()


def test_a_strided_view_counts_only_what_it_shows(saved):
    tensor = torch.arange(60_000.0).view(300, 200)[::3, ::2]
    found = statistics(saved(tensor))
    assert found.count == tensor.numel()
    assert found.mean == pytest.approx(float(tensor.double().mean()))


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_the_histogram_is_that_of_torch(saved, dtype):
    tensor = tensor_of(dtype)
    values = tensor.double()
    found = histogram(saved(tensor), bins=40)
    assert list(found.counts) == torch.histc(values, 40).int().tolist()
    assert sum(found.counts) == tensor.numel()
    assert (found.edges[0], found.edges[-1]) == (float(values.min()), float(values.max()))


def test_few_integers_get_a_bin_each(saved):
    found = histogram(saved(torch.tensor([0, 1, 1, 3])))
    assert found.counts == (1, 2, 0, 1)
    assert found.edges == (-0.5, 0.5, 1.5, 2.5, 3.5)
    assert histogram(saved(torch.tensor([True, False, True]))).counts == (1, 2)


def test_a_constant_fills_one_bin(saved):
    found = histogram(saved(torch.full((9,), 2.0)), bins=5)
    assert sorted(found.counts) == [0, 0, 0, 0, 9]
    assert found.edges[0] < 2 < found.edges[-1]


def test_nan_and_inf_are_left_out_of_the_histogram(saved):
    found = histogram(saved(torch.tensor([0.0, 1.0, math.nan, math.inf])), bins=2)
    assert found.counts == (1, 1)
    assert histogram(saved(torch.tensor([math.nan]))) is None


def test_a_cancel_stops_the_reading(saved):
    progress = Progress()
    entry = saved(torch.zeros(100_000))
    statistics(entry, progress)
    assert (progress.done, progress.total) == (100_000, 100_000)
    progress.cancel()
    with pytest.raises(Cancelled):
        statistics(entry, progress)


@pytest.mark.parametrize("name", ["per_tensor", "per_channel", "columns"])
def test_a_quantized_tensor_is_measured_as_its_scales_give_it(saved, name):
    """FIELD 29: the scales are shown, and count."""
    entry = saved(ODD[name])
    meant = ODD[name].dequantize()
    found = statistics(entry)
    assert found.min == pytest.approx(float(meant.min()), rel=1e-6)
    assert found.std == pytest.approx(float(meant.double().std()), rel=1e-6)
    assert sum(histogram(entry).counts) == meant.numel()
    assert "as .dequantize() computes them" in numbers_note(entry)


def test_integers_of_half_a_byte_are_measured_as_their_scales_give_them(saved):
    scales, points = torch.linspace(0.1, 0.5, 8), torch.full((8,), 7.0)
    weight = torch.linspace(-1, 1, 40).reshape(8, 5)
    made = torch.quantize_per_channel(weight, scales, points, 0, torch.quint4x2)
    assert statistics(saved(made)).mean == pytest.approx(float(made.dequantize().mean()), rel=1e-5)


@pytest.mark.parametrize("name", ["coo", "csr", "bsr"])
def test_of_a_sparse_tensor_the_values_in_the_file_are_measured(saved, name):
    entry = saved(ODD[name])
    values = ODD[name].values()
    found = statistics(entry)
    assert (found.count, found.mean) == (values.numel(), float(values.mean()))
    assert f"the {values.numel()} values that the file contains" in numbers_note(entry)


def test_of_a_nested_tensor_the_buffer_is_measured(saved):
    entry = saved(ODD["nested"])
    assert statistics(entry).count == 18
    assert "2 rows of different shapes" in numbers_note(entry)


@pytest.mark.filterwarnings("ignore:.*experimental")
@pytest.mark.parametrize(
    "dtype", [name for name in ITEMSIZES if hasattr(torch, name) and not name.startswith("q")]
)
def test_every_dtype_is_measured_or_said_to_have_no_numbers(saved, dtype):
    stored = saved(torch.zeros(16, dtype=torch.uint8))
    entry = replace(stored, dtype=dtype, shape=(16 // ITEMSIZES[dtype],))
    if dtype not in NUMBERLESS:
        assert statistics(entry).count == entry.numel
        assert comparable(entry, entry)
        return
    assert not comparable(entry, entry)
    with pytest.raises(LoupeError, match=f"{dtype} elements into numbers"):
        statistics(entry)


def test_scales_that_do_not_go_with_the_tensor_are_a_sentence(saved):
    entry = saved(ODD["per_channel"])
    short = replace(entry.form, scale=replace(entry.form.scale, shape=(2,)))
    with pytest.raises(CheckpointError, match="has 2 scales where 8"):
        statistics(replace(entry, form=short))
