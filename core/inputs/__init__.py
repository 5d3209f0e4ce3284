"""The inputs of a model: preprocessing, random inputs.

`prepare` makes a float32 tensor [channels, height, width] of a PIL image, as a Preprocessing says.
For an architecture and a checkpoint, `preprocessing_choices` returns the Offers that it may be:
first what the checkpoint states (`core.inputs.statements`), then what the library does
(`core.inputs.library`). Needs torch.
"""

from core.inputs.library import Offer, OpenedFile
from core.inputs.offered import (
    CHECKPOINT,
    chosen_preprocessing,
    default_preprocessing,
    preprocessing_choices,
)
from core.inputs.prepared_image import prepare, seen_box
from core.inputs.preprocessing import (
    IMAGENET,
    INTERPOLATIONS,
    MAX_EDGE,
    Fit,
    Preprocessing,
    with_channels,
)
from core.inputs.random_input import RandomInputs, output_tensors, random_inputs
from core.inputs.statements import FROM_CHECKPOINT, stated_preprocessing

__all__ = [
    "CHECKPOINT",
    "FROM_CHECKPOINT",
    "IMAGENET",
    "INTERPOLATIONS",
    "MAX_EDGE",
    "Fit",
    "Offer",
    "OpenedFile",
    "Preprocessing",
    "RandomInputs",
    "chosen_preprocessing",
    "default_preprocessing",
    "output_tensors",
    "prepare",
    "preprocessing_choices",
    "random_inputs",
    "seen_box",
    "stated_preprocessing",
    "with_channels",
]
