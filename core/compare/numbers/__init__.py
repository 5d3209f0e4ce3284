"""How far the values of paired tensors are apart, measured block by block.

Pairs of tensors go in; Numbers come out for each: norms, relative L2, cosine, and counts of
changed, zero and non-finite elements, all summed in float64. `tensor_pair` measures one pair in
detail, `measure_run` all checkpoints of a run. Needs torch.
"""

from core.compare.numbers.contiguous import load_kernel
from core.compare.numbers.measure import differences
from core.compare.numbers.pair_figures import (
    channel_figure,
    filters_image,
    histogram_figure,
    map_figure,
    step_figure,
)
from core.compare.numbers.run_measure import measure_run
from core.compare.numbers.tensor_pairs import TensorPair, tensor_pair

__all__ = [
    "TensorPair",
    "channel_figure",
    "differences",
    "filters_image",
    "histogram_figure",
    "load_kernel",
    "map_figure",
    "measure_run",
    "step_figure",
    "tensor_pair",
]
