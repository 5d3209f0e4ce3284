"""Methods that look at the pixels alone, and so take any model: integrated gradients, occlusion."""

from __future__ import annotations

import math

import torch

from core.explain.model_twin import Scores
from core.wording import count
from core.wording import shape as shape_words

STEPS, AT_ONCE = 64, 8
"""The steps from the mean colour to the image, and how many are in one pass of the model."""

WINDOWS = 7
"""The edges of the image are so many times those of the square that covers it."""


def integrated_gradients(
    scores: Scores, image: torch.Tensor, target: int
) -> tuple[torch.Tensor, str]:
    """For each pixel [H, W] what it adds to the score, negative values too; and in words how far
    the values add up to what they should (Sundararajan et al., 2017)."""
    from captum.attr import IntegratedGradients

    found = IntegratedGradients(scores).attribute(
        image.requires_grad_(), target=target, n_steps=STEPS, internal_batch_size=AT_ONCE
    )
    with torch.no_grad():
        with_image, without = scores(torch.cat([image, torch.zeros_like(image)]))[:, target]
    difference, total = (with_image - without).item(), found.sum().item()
    words = (
        f"{count(STEPS)} steps from the mean colour to the image, which changes the score by "
        f"{difference:.3g}; the values of all pixels add up to {total:.3g}."
    )
    return found[0].sum(0).detach(), words


def occlusion_passes(height: int, width: int) -> int:
    """How many passes of the model `occlusion` takes, of up to 8 images each."""
    return math.ceil(_places(height) * _places(width) / AT_ONCE) + 1


def occlusion(scores: Scores, image: torch.Tensor, target: int) -> tuple[torch.Tensor, str]:
    """By how much the score falls where a square covers a pixel [H, W], negative values too, on
    average over the squares that cover it (Zeiler and Fergus, 2014)."""
    from captum.attr import Occlusion

    _, channels, height, width = image.shape
    window = (_window(height), _window(width))
    found = Occlusion(scores).attribute(
        image,
        sliding_window_shapes=(channels, *window),
        strides=(channels, *(_stride(edge) for edge in window)),
        target=target,
        perturbations_per_eval=AT_ONCE,
    )
    words = (
        f"How far the score falls where {shape_words(window)} pixels have the mean colour, at "
        f"{count(_places(height) * _places(width))} places."
    )
    return found[0].mean(0).detach(), words


def _window(edge: int) -> int:
    return max(1, edge // WINDOWS)


def _stride(window: int) -> int:
    return max(1, window // 2)


def _places(edge: int) -> int:
    """Where Captum puts a window along an edge: the last may reach beyond it."""
    window = _window(edge)
    return math.ceil((edge - window) / _stride(window)) + 1
