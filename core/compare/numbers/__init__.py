"""How far the values of paired tensors are apart, measured block by block.

Rows go in; `Numbers` come out for each (norms, relative L2, cosine, counts of changed, zero and
non-finite elements), exact to the bit where a sum in Numba or float64 can be. `tensor_pair` looks
at one pair closely, `measure_run` at all checkpoints of a run. Needs torch.
"""

from core.compare.numbers.measure import differences
from core.compare.numbers.pair_figures import (
    channel_figure,
    filters_image,
    histogram_figure,
    map_figure,
    step_figure,
)
from core.compare.numbers.run_measure import measure_run
from core.compare.numbers.runs import load_kernel
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
