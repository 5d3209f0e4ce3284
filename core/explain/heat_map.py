"""A heat map: how much each pixel that a model saw speaks for a class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

GRAD_CAM, ROLLOUT, INTEGRATED_GRADIENTS, OCCLUSION = "gradcam", "rollout", "gradients", "occlusion"

METHODS: Mapping[str, str] = {
    GRAD_CAM: "Grad-CAM",
    ROLLOUT: "Attention rollout",
    INTEGRATED_GRADIENTS: "Integrated gradients",
    OCCLUSION: "Occlusion",
}
"""The methods by the names that `explain` takes, each with its name on screen."""


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """What a method found for one class of one image.

    `values` is float32 [H, W] on the CPU, with the height and width of the tensor that the model
    was fed; none is below 0, as what speaks against the class is left out. `target` is the class's
    index and `score` its logit. `evidence` says in a sentence or two what was measured. `layer` is
    the name of the module that Grad-CAM looked at, else empty.
    """

    method: str
    values: torch.Tensor
    target: int
    score: float
    evidence: str
    layer: str = ""
