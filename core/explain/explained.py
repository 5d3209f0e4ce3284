"""Computes a heat map by one of the methods."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional as F  # noqa: N812

from core.errors import LoadError
from core.explain import heat_map
from core.explain.attention_rollout import attention_rollout
from core.explain.grad_cam import grad_cam
from core.explain.heat_map import GRAD_CAM, METHODS, HeatMap
from core.explain.input_attribution import (
    AT_ONCE,
    STEPS,
    integrated_gradients,
    occlusion,
    occlusion_passes,
)
from core.explain.layer_choice import layer_named, proposed_layer
from core.explain.model_twin import Scores, running, scoring, twin
from core.load import LoadedModel
from core.progress import Report, ignore
from core.wording import counted, listed
from core.wording import shape as shape_words


def explain(
    loaded: LoadedModel,
    image: torch.Tensor,
    target: int,
    method: str = GRAD_CAM,
    layer: str = "",
    progress: Report = ignore,
    *,
    head: str = "",
) -> HeatMap:
    """Why the model gives class `target` its score for an image [C, H, W] that `prepare` made.

    `method` is one of METHODS; `layer` is the module that Grad-CAM looks at, empty for the last
    that the score depends on. The model runs in its own dtype, as for a prediction; the map is
    computed in float32. `head` names the head that has the class, by default the main one.
    `progress(done, total, what)` is called before each pass, and may raise to
    cancel. Raises LoadError if the method cannot work on this model, and says what can.
    """
    if method not in METHODS:
        raise LoadError(f"There is no method {method}.", f"The methods are {listed([*METHODS])}.")
    progress(0, 1, "copying the model")
    model = twin(loaded.model)
    scores = partial(scoring, model, head=head)
    inputs = image[None].to(loaded.device)
    height, width = image.shape[-2:]
    used = ""
    with running(loaded, image):
        score = _score(scores(ignore), inputs, target)
        match method:
            case heat_map.GRAD_CAM:
                progress(0, 1, "finding the layer")
                found = (
                    layer_named(model, inputs, layer, loaded)
                    if layer
                    else proposed_layer(model, inputs.clone(), target, loaded, head)
                )
                used = found.name
                values = grad_cam(model, scores(progress), inputs, target, found)
                words = f"What speaks for the class at `{used}`, on a grid of "
                words += f"{shape_words(found.grid)} places."
            case heat_map.ROLLOUT:
                values, words = attention_rollout(model, scores(progress), inputs, loaded)
            case heat_map.INTEGRATED_GRADIENTS:
                passes = STEPS // AT_ONCE + 1
                values, words = integrated_gradients(scores(progress, passes), inputs, target)
            case _:
                passes = occlusion_passes(height, width)
                values, words = occlusion(scores(progress, passes), inputs, target)
    progress(1, 1, "")
    if not values.isfinite().all():
        raise LoadError(
            f"The map is not a number: the scores or gradients overflow in {loaded.dtype}, or the "
            "weights contain NaN.",
            "Load the model as float32.",
        )
    if not (values > 0).any():
        words += " Nothing there speaks for the class."
    enlarged = F.interpolate(
        values.clamp(min=0)[None, None].float().cpu(), (height, width), mode="bilinear"
    )
    return HeatMap(method, enlarged[0, 0], target, score, words, used)


def _score(scores: Scores, image: torch.Tensor, target: int) -> float:
    """The logit of the class. Raises LoadError if the model has no such class."""
    with torch.no_grad():
        logits = scores(image)[0]
    if not 0 <= target < len(logits):
        raise LoadError(
            f"The model has no class {target}.",
            f"Its {counted(len(logits), 'class')} count from 0.",
        )
    return logits[target].item()
