"""One pair of tensors in detail: histograms, a map of the difference, channels and filters.

Two entries of the same shape go in; a TensorPair and figures of it come out. Needs torch.
"""

from core.compare.one_pair.pair_figures import (
    channel_figure,
    filters_image,
    histogram_figure,
    map_figure,
    step_figure,
)
from core.compare.one_pair.tensor_pairs import TensorPair, tensor_pair

__all__ = [
    "TensorPair",
    "channel_figure",
    "filters_image",
    "histogram_figure",
    "map_figure",
    "step_figure",
    "tensor_pair",
]
