"""Grad-CAM: which places of a layer's grid raise the score of a class (Selvaraju et al., 2017)."""

from __future__ import annotations

import torch
from torch import nn

from core.explain.layer_trace import SpatialLayer
from core.explain.model_twin import Scores


def grad_cam(
    model: nn.Module, scores: Scores, image: torch.Tensor, target: int, layer: SpatialLayer
) -> torch.Tensor:
    """The map [h, w] on the layer's grid: each channel weighted by the mean of its gradient.

    Captum computes it for a module with channels first, so the layer's output goes through one as
    float32, by a hook. The model is a twin that nobody else uses.
    """
    from captum.attr import LayerGradCam

    grid = nn.Identity()

    def through_grid(_module: nn.Module, _taken: object, returned: object) -> object:
        several = isinstance(returned, list | tuple)
        output = returned[0] if isinstance(returned, list | tuple) else returned
        assert isinstance(output, torch.Tensor)
        seen = grid(layer.to_grid(output).float()).to(output.dtype)
        back = layer.from_grid(seen, output)
        return type(returned)([back, *returned[1:]]) if several else back  # type: ignore[call-arg, index]

    hook = model.get_submodule(layer.name).register_forward_hook(through_grid)
    try:
        found = LayerGradCam(scores, grid).attribute(image.requires_grad_(), target)
    finally:
        hook.remove()
    map_: torch.Tensor = found[0, 0].detach()
    return map_
