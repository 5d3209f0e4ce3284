"""What goes into a model: images decoded safely, preprocessing, random inputs.

Bytes of an image go in and a PIL image comes out, or an ImageError; a Preprocessing turns images
into a float32 batch of shape (N, channels, height, width). Needs torch.
"""

from core.inputs.images import decode_image
from core.inputs.preprocessing import (
    IMAGENET,
    INTERPOLATIONS,
    MAX_EDGE,
    Fit,
    Preprocessing,
    default_preprocessing,
    prepare,
)
from core.inputs.random_input import RandomInputs, random_inputs

__all__ = [
    "IMAGENET",
    "INTERPOLATIONS",
    "MAX_EDGE",
    "Fit",
    "Preprocessing",
    "RandomInputs",
    "decode_image",
    "default_preprocessing",
    "prepare",
    "random_inputs",
]
