"""The elements of tensors as numbers, block by block: by numpy, or by torch where it must be.

A TensorEntry goes in; blocks of float64 come out, in bounded memory. `slice_of` cuts a tensor whose
bytes lie in order, so that threads share it; `shared_events` runs those threads. This package
imports no torch; reading what numpy cannot read does.
"""

from core.streaming.float_blocks import (
    READ_BY_NUMPY,
    FloatBlock,
    Floats,
    block_pairs,
    float_blocks,
    is_contiguous_record,
    numbers_of,
    slice_of,
)
from core.streaming.task_threads import Stopped, cores, shared_events

__all__ = [
    "READ_BY_NUMPY",
    "FloatBlock",
    "Floats",
    "Stopped",
    "block_pairs",
    "cores",
    "float_blocks",
    "is_contiguous_record",
    "numbers_of",
    "shared_events",
    "slice_of",
]
