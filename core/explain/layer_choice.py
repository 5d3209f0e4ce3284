"""Where a model still knows where things are: the modules whose output has a spatial grid."""

from __future__ import annotations

import torch
from torch import nn

from core.errors import LoadError
from core.explain.layer_trace import LayerTrace, SpatialLayer
from core.explain.model_twin import running, scoring, twin
from core.load import LoadedModel, parameter_dtype
from core.progress import ignore


def spatial_layers(loaded: LoadedModel, image: torch.Tensor) -> tuple[SpatialLayer, ...]:
    """The modules whose output has a grid, in the order in which they end, for an image [C, H, W].

    Of modules that return the same tensor, the outermost is named. Raises LoadError if the model
    does not take the image.
    """
    model = twin(loaded.model)
    with running(loaded, image):
        return spatial_layers_of(model, image[None].to(loaded.device))


def spatial_layers_of(model: nn.Module, image: torch.Tensor) -> tuple[SpatialLayer, ...]:
    """The same for a twin that nobody else uses, and images [1, C, H, W]."""
    with torch.no_grad():
        return tuple(layer for layer, _ in _traced(model, image))


def layer_named(
    model: nn.Module, image: torch.Tensor, name: str, loaded: LoadedModel
) -> SpatialLayer:
    """The layer of this name, of a twin that nobody else uses, for images [1, C, H, W].

    Any module's name may be given that has a grid. Raises LoadError.
    """
    with torch.no_grad():
        found = {layer.name: layer for layer, _ in _traced(model, image, every=True)}
    if name not in found:
        known = name in dict(model.named_modules())
        raise LoadError(
            f"The output of `{name}` has no spatial grid."
            if known
            else f"{loaded.architecture.title} has no module `{name}`.",
            f"Choose one of the listed layers, such as {list(found)[-1]}."
            if found
            else _WITHOUT_LAYER,
        )
    return found[name]


def proposed_layer(
    model: nn.Module, image: torch.Tensor, target: int, loaded: LoadedModel, head: str = ""
) -> SpatialLayer:
    """The last layer with a grid whose places the score of class `target` depends on.

    After a transformer's last attention, only the class token does. The model is a twin that nobody
    else uses; images are [1, C, H, W]. Raises LoadError if there is no such layer.
    """
    connected: list[SpatialLayer] = []
    scores = scoring(model, ignore, head=head)
    with torch.enable_grad(), LayerTrace(model) as trace:
        score = scores(image.requires_grad_())[0, target]
        layers = [each for each in trace.layers(image) if each[1].requires_grad]
        at_once = FIRST_GRADIENTS
        while layers:
            part = layers[-at_once:][::-1]
            del layers[-at_once:]
            outputs = [output for _, output in part]
            gradients = torch.autograd.grad(score, outputs, retain_graph=True, allow_unused=True)
            for (layer, _), gradient in zip(part, gradients, strict=True):
                if gradient is not None:
                    connected.append(layer)
                    if layer.to_grid(gradient).any():
                        return layer
            at_once *= 2
    if connected:
        return connected[0]
    raise LoadError(
        f"{loaded.architecture.title} has no layer with a spatial grid that its answer depends on.",
        _WITHOUT_LAYER,
    )


FIRST_GRADIENTS = 8
"""The layers, from the last, whose gradients the first backward pass computes. It is nearly always
the only one; each further pass takes twice as many, so that there are few even for a head of
zeros."""

_WITHOUT_LAYER = "Choose integrated gradients or occlusion, which need none."


def _traced(
    model: nn.Module, image: torch.Tensor, *, every: bool = False
) -> list[tuple[SpatialLayer, torch.Tensor]]:
    with LayerTrace(model) as trace:
        model(image.to(parameter_dtype(model)))
        return list(trace.layers(image, every=every))
