"""The inputs of a model: images decoded safely, preprocessing, random inputs.

`decode_image` takes an image file's bytes, and returns a PIL image or raises ImageError. `prepare`
makes a float32 tensor [channels, height, width] of it, as a Preprocessing says. Needs torch.
"""

from core.inputs.images import decode_image
from core.inputs.preprocessing import (
    FROM_CHECKPOINT,
    IMAGENET,
    INTERPOLATIONS,
    MAX_EDGE,
    Fit,
    Preprocessing,
    default_preprocessing,
    prepare,
    stated_preprocessing,
    with_channels,
)
from core.inputs.random_input import RandomInputs, output_tensors, random_inputs

__all__ = [
    "FROM_CHECKPOINT",
    "IMAGENET",
    "INTERPOLATIONS",
    "MAX_EDGE",
    "Fit",
    "Preprocessing",
    "RandomInputs",
    "decode_image",
    "default_preprocessing",
    "output_tensors",
    "prepare",
    "random_inputs",
    "stated_preprocessing",
    "with_channels",
]
