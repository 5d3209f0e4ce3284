"""Attention rollout: how much of each patch a transformer's answer is mixed from (Abnar, 2020)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from core.errors import LoadError
from core.explain.layer_choice import spatial_layers_of
from core.explain.layer_trace import TOKENS
from core.explain.model_twin import Scores
from core.load import LoadedModel

SUM_ERROR = 0.02
"""How far the sum of a row of weights may be from 1: in bfloat16, 200 of them are off by 0.01."""


def attention_rollout(
    model: nn.Module, scores: Scores, image: torch.Tensor, loaded: LoadedModel
) -> tuple[torch.Tensor, str]:
    """The share of each patch [h, w], and in words what was multiplied.

    The model is a twin that nobody else uses, whose fused attention is switched off. Raises
    LoadError if not all of its attention is from all patches to all patches.
    """
    weights = _attention(model, scores, image)
    layers = [layer for layer in spatial_layers_of(model, image) if layer.layout == TOKENS]
    tokens = {layer.prefix + layer.grid[0] * layer.grid[1]: layer for layer in layers}
    number = weights[0].shape[-1] if weights else 0
    layer = tokens.get(number)
    if layer is None or not all(
        each.ndim == 4
        and (len(each), *each.shape[-2:]) == (1, number, number)
        and bool(((each.sum(-1) - 1).abs() < SUM_ERROR).all())
        for each in weights
    ):
        raise LoadError(
            f"{loaded.architecture.title} has no attention from all patches to all patches in "
            "each of its layers.",
            "Choose Grad-CAM, integrated gradients or occlusion.",
        )
    itself = torch.eye(number, device=weights[0].device)
    mixed = itself
    for each in weights:  # the residual connection passes each token on as it is
        mixed = (each[0].mean(0) + itself) / 2 @ mixed
    pooled = getattr(model, "global_pool", "token")
    if layer.prefix and pooled == "token":
        shares, seen_from = mixed[0], "the class token"
    else:
        shares, seen_from = mixed[layer.prefix :].mean(0), "the mean of all patches"
        if pooled == "map":
            seen_from += ", without the attention that pools them"
    words = (
        f"The attention of {len(weights)} layers, averaged over heads and multiplied, seen from "
        f"{seen_from}. It does not depend on the class."
    )
    return shares[layer.prefix :].reshape(layer.grid), words


def _attention(model: nn.Module, scores: Scores, image: torch.Tensor) -> list[torch.Tensor]:
    """The weights [N, heads, T, T] of each attention, in their order, as float32."""
    weights: list[torch.Tensor] = []
    hooks = []

    def note_taken(_module: nn.Module, taken: tuple[torch.Tensor, ...]) -> None:
        weights.append(taken[0].float())

    def ask(
        _module: nn.Module, arguments: tuple[object, ...], options: Mapping[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        return arguments, {**options, "need_weights": True, "average_attn_weights": False}

    def note_returned(
        _module: nn.Module, _taken: object, returned: tuple[torch.Tensor, ...]
    ) -> None:
        weights.append(returned[1].float())

    for module in model.modules():
        dropout = getattr(module, "attn_drop", None)
        if isinstance(module, nn.MultiheadAttention):
            hooks.append(module.register_forward_pre_hook(ask, with_kwargs=True))
            hooks.append(module.register_forward_hook(note_returned))
        elif isinstance(dropout, nn.Module):
            # timm's attention drops the weights out after the softmax, unless it is fused.
            if hasattr(module, "fused_attn"):
                module.fused_attn = False  # type: ignore[assignment]
            hooks.append(dropout.register_forward_pre_hook(note_taken))
    try:
        with torch.no_grad():
            scores(image)
    finally:
        for hook in hooks:
            hook.remove()
    return weights
