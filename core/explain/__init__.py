"""Why a model answers so: heat maps of an image, and what its layers compute.

`explain` takes a LoadedModel, the tensor of an image, a class and a method, and returns a HeatMap:
a value for each pixel that the model saw. `heat_image` draws it over the image.
`spatial_layers` lists where Grad-CAM can look. `layer_activations` measures what each layer gives,
`channel_images` shows its channels. All run on a twin of the model, which shares its weights and
has hooks of its own, since other sessions use the model meanwhile. Captum is imported with the
first map. Needs torch.
"""

from core.explain.activations import (
    LayerActivation,
    activations_verdict,
    channel_images,
    layer_activations,
)
from core.explain.explained import explain
from core.explain.heat_image import heat_image, hottest_value, seen_part
from core.explain.heat_map import METHODS, HeatMap
from core.explain.layer_choice import spatial_layers
from core.explain.layer_trace import SpatialLayer

__all__ = [
    "METHODS",
    "HeatMap",
    "LayerActivation",
    "SpatialLayer",
    "activations_verdict",
    "channel_images",
    "explain",
    "heat_image",
    "hottest_value",
    "layer_activations",
    "seen_part",
    "spatial_layers",
]
