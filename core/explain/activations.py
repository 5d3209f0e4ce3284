"""What each layer of a model computes of some images: means, dead units, where NaN begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import nn

from core.explain.layer_choice import layer_named
from core.explain.layer_trace import CHANNELS_FIRST, first_tensor, returned_layout
from core.explain.model_twin import running, twin
from core.load import LoadedModel, parameter_dtype
from core.progress import Report, ignore
from core.wording import counted, percent

MOST_CHANNELS = 64
"""The most channels of a layer that are shown as images."""


@dataclass(frozen=True, slots=True)
class LayerActivation:
    """What a module without others inside returned, over all images and places.

    `shape` is the output's. `mean` and `std` are of its finite values, NaN if there are none.
    `dead` of its `units` (channels, or features of tokens) are 0 for every image and at every
    place. `not_finite` is the number of values that are NaN or infinite.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    mean: float
    std: float
    units: int
    dead: int
    not_finite: int

    @property
    def dead_share(self) -> float:
        """The share of the units that are dead."""
        return self.dead / self.units


def layer_activations(
    loaded: LoadedModel, images: torch.Tensor, progress: Report = ignore
) -> tuple[LayerActivation, ...]:
    """The activations of each module, in the order of the calls, for images [N, C, H, W].

    A module that is called several times has a row for each call. `progress(done, total, what)` is
    called at each module, and may raise to cancel. Raises LoadError if the model does not take the
    images.
    """
    model = twin(loaded.model)
    leaves = {
        module: name
        for name, module in model.named_modules()
        if not (any(True for _ in module.children()) or isinstance(module, _PASSING_ON))
    }
    found: list[LayerActivation] = []
    layout = CHANNELS_FIRST

    def note(module: nn.Module, _taken: object, returned: object) -> None:
        nonlocal layout
        output = first_tensor(returned)
        if output is None or not output.is_floating_point() or output.ndim < 2:
            return
        progress(min(len(found), len(leaves)), len(leaves), leaves[module])
        if output.ndim == 4:  # what has no channels of its own keeps those of the layer before it
            layout = returned_layout(module, output.shape) or layout
        found.append(_measured(leaves[module], module, output, layout))

    for module in leaves:
        module.register_forward_hook(note)
    with running(loaded, images), torch.no_grad():
        model(images.to(loaded.device, parameter_dtype(model)))
    return tuple(found)


_PASSING_ON = (nn.Identity, nn.Dropout)
"""Modules that return what they take once a model is trained."""


def _measured(name: str, module: nn.Module, output: torch.Tensor, layout: str) -> LayerActivation:
    values = output.float()
    finite = values.isfinite()
    lacking = values.numel() - int(finite.sum())
    measured = values[finite] if lacking else values
    unit = 1 if output.ndim == 2 or (output.ndim == 4 and layout == CHANNELS_FIRST) else -1
    alive = (values != 0).movedim(unit, 0).flatten(1).any(1)
    return LayerActivation(
        name,
        type(module).__name__,
        tuple(output.shape),
        measured.mean().item(),
        measured.std(correction=0).item() if len(measured) else math.nan,
        len(alive),
        len(alive) - int(alive.sum()),
        lacking,
    )


def activations_verdict(found: Sequence[LayerActivation]) -> str:
    """Where NaN or infinity is first seen, or which layer has most dead units, in one sentence."""
    for each in found:
        if each.not_finite:
            return (
                f"NaN or infinity is first seen in `{each.name}`: "
                f"{counted(each.not_finite, 'value')} of its output."
            )
    worst = max(found, key=lambda each: each.dead_share, default=None)
    if worst is None:
        return "No layer returned numbers."
    if not worst.dead:
        return "Every value is finite, and no layer has a dead unit."
    return (
        f"Every value is finite. `{worst.name}` has the largest share of dead units, "
        f"{percent(worst.dead_share)}: they are 0 for these images."
    )


def channel_images(
    loaded: LoadedModel, image: torch.Tensor, layer: str, most: int = MOST_CHANNELS
) -> tuple[Image.Image, ...]:
    """The first channels of a layer for an image [C, H, W], as grey images ("L") of its grid.

    All are on one scale, from the smallest value to the largest. Raises LoadError if the layer has
    no spatial grid, or the model does not take the image.
    """
    model = twin(loaded.model)
    inputs = image[None].to(loaded.device)
    with running(loaded, image), torch.no_grad():
        spatial = layer_named(model, inputs, layer, loaded)
        outputs: list[torch.Tensor] = []

        def note(_module: nn.Module, _taken: object, returned: object) -> None:
            output = first_tensor(returned)
            assert output is not None  # it has a grid
            outputs.append(spatial.to_grid(output)[0, :most].float().cpu())

        model.get_submodule(layer).register_forward_hook(note)
        model(inputs.to(parameter_dtype(model)))
    channels = outputs[-1].nan_to_num(0.0)
    smallest, largest = channels.min(), channels.max()
    grey = (channels - smallest) / (largest - smallest).clamp(min=torch.finfo(torch.float32).tiny)
    return tuple(Image.fromarray((255 * each).round().to(torch.uint8).numpy()) for each in grey)
