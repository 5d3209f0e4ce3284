"""One pair of tensors in detail: histograms, a map of the difference, channels and filters.

A Row goes in; each side's statistics, a TensorPair where the shapes are the same, and figures of it
come out. Needs torch.
"""

from core.compare.one_pair.pair_figures import (
    channel_figure,
    filters_image,
    histogram_figure,
    map_figure,
    step_figure,
)
from core.compare.one_pair.pair_values import PairValues, pair_values
from core.compare.one_pair.tensor_pairs import TensorPair, tensor_pair

__all__ = [
    "PairValues",
    "TensorPair",
    "channel_figure",
    "filters_image",
    "histogram_figure",
    "map_figure",
    "pair_values",
    "step_figure",
    "tensor_pair",
]
