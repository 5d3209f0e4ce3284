"""The images and figures of a pair, against numpy on the whole tensors."""

import numpy as np
import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.one_pair.pair_figures import (
    channel_figure,
    filters_image,
    histogram_figure,
    map_figure,
    step_figure,
)
from core.compare.one_pair.tensor_pairs import BINS, MAX_FILTERS, tensor_pair
from core.errors import LoupeError
from core.progress import Cancelled, Progress
from tests.core.odd_tensors import ODD


@pytest.fixture
def entries(tmp_path):
    """Two tensors as they are read back from two files."""

    def saved(a, b):
        found = []
        for name, tensor in zip("ab", (a, b), strict=True):
            torch.save({"w": tensor}, tmp_path / name)
            found.append(open_checkpoint(tmp_path / name).state_dict()["w"])
        return found

    return saved


def moved(shape, dtype=torch.float32):
    torch.manual_seed(0)
    a = torch.randn(shape)
    return a.to(dtype), (a + 0.1 * torch.randn(shape)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.int32])
def test_the_histograms_are_those_of_the_whole_tensors(entries, dtype):
    a, b = moved((300, 500), dtype)
    found = tensor_pair(*entries(a, b))
    x, y = a.double().numpy(), b.double().numpy()
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    for counts, values in ((found.a, x), (found.b, y)):
        assert len(counts.counts) == BINS
        assert (counts.edges[0], counts.edges[-1]) == (low, high)
        expected, _ = np.histogram(values, counts.edges)
        assert np.abs(np.array(counts.counts) - expected).sum() <= 4  # an edge's own rounding
        assert sum(counts.counts) == a.numel()
    assert found.difference.edges[0] == pytest.approx((y - x).min())
    assert sum(found.difference.counts) == a.numel()


def test_the_channels_are_slices_along_the_first_dimension(entries):
    a, b = moved((40, 7, 3, 3))
    b[13] += 5
    found = tensor_pair(*entries(a, b))
    norms = (b - a).double().flatten(1).norm(dim=1) / a.double().flatten(1).norm(dim=1)
    assert found.channels == pytest.approx(norms.tolist())
    assert found.filters.indexes[0] == 13
    assert len(found.filters.indexes) == MAX_FILTERS
    assert found.filters.of == 40
    kept = list(found.filters.indexes)
    assert torch.allclose(found.filters.a, a[kept].mean(1))
    assert torch.allclose(found.filters.difference, (b - a)[kept].mean(1), atol=1e-6)


def test_the_map_is_of_the_difference(entries):
    a, b = moved((20, 30))
    found = tensor_pair(*entries(a, b))
    assert torch.allclose(found.map.values, b - a, atol=1e-6)
    large = tensor_pair(*entries(*moved((600, 1200))))
    assert large.map.values.shape == (200, 240)
    assert large.map.block == (3, 5)


def test_what_is_not_finite_is_left_out_and_counted(entries):
    a, b = moved((10, 10))
    a[0, 0], b[0, 1], b[9, 9] = float("nan"), float("inf"), float("nan")
    found = tensor_pair(*entries(a, b))
    assert found.left_out == 3
    assert sum(found.a.counts) == sum(found.b.counts) == sum(found.difference.counts) == 97
    assert found.map.values.isnan().sum() == 3


def test_other_dtypes_on_each_side_and_quantized_ones_are_drawn(entries):
    a, _ = moved((30, 30))
    halves = tensor_pair(*entries(a, a.half()))
    assert max(map(abs, halves.difference.edges)) == pytest.approx(
        float((a.half().double() - a.double()).abs().max())
    )
    quantized = ODD["per_channel"]
    same = tensor_pair(*entries(quantized, quantized))
    assert set(same.channels) == {0.0}
    turned = torch.randn(8, 8, dtype=torch.complex64)
    complex_pair = tensor_pair(*entries(turned, turned * 1j))
    assert complex_pair.difference.edges[0] >= 0


def test_equal_tensors_scalars_and_nothing_finite_do_no_harm(entries):
    one = torch.full((3, 3), 2.0)
    same = tensor_pair(*entries(one, one))
    assert set(same.channels) == {0.0}
    assert sum(same.difference.counts) == 9
    scalar = tensor_pair(*entries(torch.tensor(1.0), torch.tensor(2.0)))
    assert (scalar.map, scalar.channels, scalar.filters) == (None, (), None)
    nothing = tensor_pair(*entries(one * float("nan"), one))
    assert (nothing.a, nothing.left_out) == (None, 9)
    assert histogram_figure(nothing) is None
    assert step_figure(nothing) is None


def test_other_shapes_are_refused_with_a_sentence(entries):
    with pytest.raises(LoupeError, match="side by side"):
        tensor_pair(*entries(torch.ones(2), torch.ones(3)))


def test_a_cancel_stops_it(entries):
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        tensor_pair(*entries(*moved((5, 5))), progress)


def test_the_figures_show_what_was_found(entries):
    a, b = moved((40, 7, 3, 3))
    found = tensor_pair(*entries(a, b))
    in_a, in_b = histogram_figure(found).data
    assert (in_a.name, in_b.name) == ("A", "B")
    assert list(in_a.y[1:-1:2]) == list(found.a.counts)
    assert list(in_a.x[1:-1:2]) == list(found.a.edges[:-1])
    assert list(step_figure(found).data[0].y) == list(found.difference.counts)
    (bars,) = channel_figure(found).data
    assert list(bars.y) == [100 * change for change in found.channels]
    marked = [index for index, colour in enumerate(bars.marker.color) if colour != "#7D858C"]
    assert set(marked) == set(np.argsort(found.channels)[-10:])
    (heat,) = map_figure(found.map).data
    assert heat.zmax == -heat.zmin == pytest.approx(float((b - a).abs().max()), rel=1e-6)


def test_the_filters_picture_has_three_rows_and_says_which(entries):
    a = torch.zeros(2, 3, 3, 3)
    b = a.clone()
    b[1] = 1
    image, caption = filters_image(tensor_pair(*entries(a + 0.5, b + 0.5)).filters)
    scale = image.shape[1] // 7
    assert image.shape == (11 * scale, 7 * scale, 3)
    changed = image[9 * scale, scale].tolist()
    assert changed[0] > changed[2]
    assert image[9 * scale, 5 * scale].tolist() == [255, 255, 255]
    assert "B − A" in caption


def test_the_rows_of_a_vocabulary_are_measured_and_its_ten_most_changed_named(entries):
    a, b = moved((9000, 4))
    b[[7, 8123]] += 50
    found = tensor_pair(*entries(a, b))
    norms = (b - a).double().norm(dim=1) / a.double().norm(dim=1)
    assert found.channels == pytest.approx(norms.tolist())
    figure = channel_figure(found)
    (bars,) = figure.data
    assert len(bars.x) == 3000
    most = [100 * max(found.channels[3 * at : 3 * at + 3]) for at in range(3000)]
    assert list(bars.y) == most
    named = figure.layout.annotations[0].text.removeprefix("Most changed: ").split(", ")
    most = norms.argsort(descending=True)[:10].tolist()
    assert [int(name.replace("\u202f", "")) for name in named] == most
    assert "each 3" in figure.layout.xaxis.title.text


def test_slices_without_a_finite_element_have_no_number_and_from_zero_no_ratio(entries):
    a, b = torch.ones(3, 4), torch.ones(3, 4)
    a[0], b[1] = 0, float("nan")
    found = tensor_pair(*entries(a, b))
    assert found.channels[0] == float("inf")
    assert np.isnan(found.channels[1])
    assert found.channels[2] == 0
    nothing = tensor_pair(*entries(a * float("nan"), b))
    assert channel_figure(nothing) is None


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_channels_are_right_where_squares_overflow_or_vanish(entries, size):
    a, b = moved((5, 6), torch.float64)
    found = tensor_pair(*entries(a * size, b * size))
    norms = (b - a).norm(dim=1) / a.norm(dim=1)
    assert found.channels == pytest.approx(norms.tolist())


def test_a_difference_beyond_float64_is_left_out_and_the_widest_range_is_counted(entries):
    a = torch.tensor([[1.7e308, -1.7e308], [1.7e308, 0]], dtype=torch.float64)
    b = torch.tensor([[-1.7e308, -1.7e308], [1.7e308, 0]], dtype=torch.float64)
    found = tensor_pair(*entries(a, b))
    assert found.left_out == 1
    assert (found.a.counts[0], found.a.counts[BINS // 2], found.a.counts[-1]) == (1, 1, 1)
    assert all(np.isfinite(found.a.edges))


def test_large_integers_are_subtracted_before_they_are_rounded(entries):
    a = torch.tensor([[2**62, 1], [5, 2**60]])
    found = tensor_pair(*entries(a, a + 1))
    assert found.difference.edges[0] == 0.5
    assert found.difference.edges[-1] == 1.5
    assert torch.equal(found.map.values, torch.ones(2, 2))


@pytest.mark.parametrize("per_channel", [True, False])
def test_the_filters_of_a_quantized_convolution_are_its_numbers(entries, per_channel):
    a, b = moved((20, 3, 3, 3))
    if per_channel:
        scales = torch.rand(20, dtype=torch.float64) + 0.01
        zeros = torch.zeros(20, dtype=torch.int64)
        held = torch.quantize_per_channel(a, scales, zeros, 0, torch.qint8)
    else:
        held = torch.quantize_per_tensor(a, 0.05, 3, torch.qint8)
    found = tensor_pair(*entries(held, b))
    kept = list(found.filters.indexes)
    assert torch.allclose(found.filters.a, held.dequantize()[kept].mean(1), atol=1e-6)
    assert torch.allclose(found.filters.b, b[kept].mean(1), atol=1e-6)


def test_a_filter_with_nan_keeps_the_scale_of_its_other_elements(entries):
    a = torch.arange(18.0).reshape(2, 1, 3, 3)
    b = a.clone()
    b[1, 0, 0, 0] = float("nan")
    found = tensor_pair(*entries(a, b)).filters
    image, _ = filters_image(found)
    scale, left = image.shape[1] // 7, 4 * found.indexes.index(1)
    assert image[2 * scale, (left + 2) * scale].tolist() == [255, 255, 255]
    assert image[0, left * scale].tolist() == [0, 0, 0]
