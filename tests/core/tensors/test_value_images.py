"""Tensors as images, averaged while they stream."""

import math

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.tensors.value_images import ImageKind, tensor_image
from tests.core.odd_tensors import ODD


@pytest.fixture
def saved(tmp_path):
    """Save a tensor as torch does, and give its entry as it is read back."""

    def save(tensor):
        torch.save({"w": tensor}, tmp_path / "w.pth")
        return open_checkpoint(tmp_path / "w.pth").state_dict()["w"]

    return save


def test_first_layer_filters_are_a_colour_grid(saved):
    filters = torch.randn(64, 3, 7, 7)
    found = tensor_image(saved(filters))
    assert found.kind is ImageKind.FILTERS
    assert found.values.dtype == torch.uint8
    assert found.values.shape == (8 * 8 - 1, 8 * 8 - 1, 3)
    one = filters[9]
    scaled = ((one - one.min()) / (one.max() - one.min()) * 255).round().to(torch.uint8)
    assert torch.equal(found.values[8:15, 8:15], scaled.permute(1, 2, 0))
    assert found.caption == (
        "64 filters, 7 × 7, as red, green and blue, each scaled to its own range"
    )


def test_deeper_filters_are_the_mean_of_their_channels(saved):
    filters = torch.randn(256, 32, 3, 3)
    found = tensor_image(saved(filters))
    assert found.values.shape == (8 * 4 - 1, 8 * 4 - 1, 3)
    mean = filters[0].mean(0)
    scaled = ((mean - mean.min()) / (mean.max() - mean.min()) * 255).round().to(torch.uint8)
    assert torch.equal(found.values[:3, :3, 0], scaled)
    assert found.caption.startswith(
        "the first 64 of 256 filters, 3 × 3, the mean of their 32 channels"
    )


def test_depthwise_filters_in_bf16_are_drawn_too(saved):
    found = tensor_image(saved(torch.randn(5, 1, 3, 3).bfloat16()))
    assert found.caption == "5 filters, 3 × 3, each scaled to its own range"


def test_a_filter_of_nan_and_constants_is_grey(saved):
    filters = torch.full((2, 1, 2, 2), 7.0)
    filters[1, 0, 0, 0] = math.nan
    assert tensor_image(saved(filters)).values[0, 0].tolist() == [128, 128, 128]


def test_a_small_matrix_is_shown_cell_by_cell(saved):
    matrix = torch.randn(10, 200)
    found = tensor_image(saved(matrix))
    assert found.kind is ImageKind.MATRIX
    assert torch.equal(found.values, matrix)
    assert found.block == (1, 1)


@pytest.mark.parametrize("shape", [(1000, 512), (257, 300), (3, 70_001), (70_001, 3)])
def test_a_large_matrix_is_averaged_in_equal_blocks(saved, shape):
    matrix = torch.randn(shape)
    found = tensor_image(saved(matrix))
    rows, columns = found.block
    assert max(found.values.shape) <= 256
    for row, column in ((0, 0), (found.values.shape[0] - 1, found.values.shape[1] - 1)):
        part = matrix[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
        assert float(found.values[row, column]) == pytest.approx(float(part.mean()), abs=1e-6)
    assert found.caption.endswith(f"each cell the mean of {rows} × {columns}")


def test_pointwise_filters_and_position_embeddings_are_matrices(saved):
    assert tensor_image(saved(torch.randn(24, 58, 1, 1))).values.shape == (24, 58)
    assert tensor_image(saved(torch.randn(1, 197, 192))).values.shape == (197, 192)


def test_a_transposed_matrix_is_shown_as_it_reads(saved):
    matrix = torch.randn(40, 30)
    assert torch.equal(tensor_image(saved(matrix.T)).values, matrix.T)


def test_a_vector_is_a_line_of_bounded_length(saved):
    vector = torch.randn(5000)
    found = tensor_image(saved(vector))
    assert found.kind is ImageKind.LINE
    assert found.block == (1, 5)
    assert torch.allclose(found.values[0], vector.view(-1, 5).mean(1), atol=1e-6)


def test_cells_without_a_finite_element_stay_empty(saved):
    matrix = torch.ones(2, 3)
    matrix[0, 1] = math.inf
    values = tensor_image(saved(matrix)).values
    assert math.isnan(values[0, 1])
    assert float(values[1, 1]) == 1


@pytest.mark.parametrize("tensor", [torch.tensor(1.0), torch.empty(0, 5), torch.ones(1, 1)])
def test_there_is_no_image_of_a_single_element_or_none(saved, tensor):
    assert tensor_image(saved(tensor)) is None


def test_a_quantized_matrix_is_drawn_as_its_scales_give_it(saved):
    found = tensor_image(saved(ODD["columns"]))
    assert torch.allclose(found.values, ODD["columns"].dequantize())


def test_quantized_filters_are_drawn_from_their_integers(saved):
    filters = torch.quantize_per_tensor(torch.randn(4, 3, 5, 5), 0.1, 0, torch.qint8)
    found = tensor_image(saved(filters))
    assert found.caption.endswith("their integers, each scaled to its own range")


@pytest.mark.parametrize("name", ["coo", "csr", "nested"])
def test_what_has_no_elements_side_by_side_has_no_image(saved, name):
    assert tensor_image(saved(ODD[name])) is None
