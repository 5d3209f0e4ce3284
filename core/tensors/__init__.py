"""The values of tensors: read into torch, computed from others, measured, drawn.

A TensorEntry goes in; a torch.Tensor, chunks of it, statistics, a histogram or an image of its
values come out. Damage that is found only on reading raises CheckpointError. Needs torch.

There are three ways through the elements of a tensor in C order: `chunks` yields at most so many
bytes of stored elements at a time; `blocks` yields equally many elements, so that those of two
tensors correspond; `numbers` does too, with a quantized tensor's scales applied.
"""

from core.tensors.arithmetic import (
    adapted_channels,
    chosen_rows,
    folded_weight_norm,
    merged_lora,
    resampled_grid,
    resampled_table,
)
from core.tensors.elements import as_float64, blocks, exact_integers, float64_buffer, numbers
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
    "blocks",
    "cells_of",
    "chosen_rows",
    "chunks",
    "exact_integers",
    "float64_buffer",
    "folded_weight_norm",
    "histogram",
    "merged_lora",
    "numbers",
    "read_tensor",
    "read_tensor_into",
    "read_tensors_into",
    "resampled_grid",
    "resampled_table",
    "statistics",
    "tensor_image",
    "torch_dtype",
]
