"""The values of tensors: read into torch, derived, counted, drawn.

A TensorEntry goes in; a torch.Tensor, chunks of one, statistics, a histogram or a picture of its
values come out. Damage that shows only on reading raises CheckpointError. Needs torch.
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
from core.tensors.pictures import Picture, PictureKind, cells_of, picture
from core.tensors.reading import (
    CONVERT_BYTES,
    chunks,
    read_tensor,
    read_tensor_into,
    read_tensors_into,
    torch_dtype,
)
from core.tensors.value_statistics import Histogram, Statistics, histogram, statistics

__all__ = [
    "CONVERT_BYTES",
    "Histogram",
    "Picture",
    "PictureKind",
    "Statistics",
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
    "picture",
    "read_tensor",
    "read_tensor_into",
    "read_tensors_into",
    "resampled_grid",
    "resampled_table",
    "statistics",
    "torch_dtype",
]
