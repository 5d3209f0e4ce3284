"""The elements of tensors that torch alone can read, such as quantized ones, as float64 blocks."""

from __future__ import annotations

from collections.abc import Iterator

from core.checkpoint import TensorEntry
from core.streaming.float_blocks import FloatBlock
from core.tensors import as_float64, exact_integers, float64_buffer, number_blocks


def torch_blocks(entry: TensorEntry, size: int) -> Iterator[FloatBlock]:
    """As `float_blocks`, for a tensor of any form and dtype."""
    buffer = float64_buffer(size)
    for block in number_blocks(entry, size):
        exact = exact_integers(block)
        yield FloatBlock(
            block.numel(),
            as_float64(block, buffer).numpy(),
            None if exact is None else exact.numpy(),
            str(block.dtype).removeprefix("torch."),
        )
