"""The values of tensors: read into torch, computed from others, measured, drawn.

A TensorEntry goes in; a torch.Tensor, chunks of it, statistics, a histogram or an image of its
values come out. Damage that is found only on reading raises CheckpointError. Needs torch.

There are three ways through the elements of a tensor in C order: `chunks` yields at most so many
bytes of stored elements at a time; `element_blocks` yields equally many elements, so that those of
two tensors correspond; `number_blocks` does too, with a quantized tensor's scales applied.
"""

from core.tensors.arithmetic import (
    adapted_channels,
    chosen_rows,
    folded_weight_norm,
    masked,
    merged_lora,
    resampled_grid,
    resampled_table,
)
from core.tensors.elements import (
    as_float64,
    element_blocks,
    exact_integers,
    float64_buffer,
    number_blocks,
)
from core.tensors.reading import (
    CONVERT_BYTES,
    chunks,
    read_tensor,
    read_tensor_into,
    read_tensors_into,
    torch_dtype,
)
from core.tensors.value_images import ImageKind, TensorImage, cells_of, tensor_image
from core.tensors.value_statistics import Histogram, Statistics, histogram, statistics

__all__ = [
    "CONVERT_BYTES",
    "Histogram",
    "ImageKind",
    "Statistics",
    "TensorImage",
    "adapted_channels",
    "as_float64",
    "cells_of",
    "chosen_rows",
    "chunks",
    "element_blocks",
    "exact_integers",
    "float64_buffer",
    "folded_weight_norm",
    "histogram",
    "masked",
    "merged_lora",
    "number_blocks",
    "read_tensor",
    "read_tensor_into",
    "read_tensors_into",
    "resampled_grid",
    "resampled_table",
    "statistics",
    "tensor_image",
    "torch_dtype",
]
