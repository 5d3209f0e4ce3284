"""A guess of what kind of network a state_dict is of, from its layers alone."""

from __future__ import annotations

import re
from collections import Counter

from core.checkpoint.entries import StateDict

ATTENTION = re.compile(
    r"(^|\.)(attn|attention|self_attn|self_attention|qkv|q_proj|in_proj_weight|query)(\.|_|$)"
)
NUMBERED = re.compile(r"(?:^|\.)(\d{1,4})\.")


def family(state_dict: StateDict) -> str:
    """A few words such as `a transformer of 12 blocks of width 768`, or what the tensors are."""
    matrices = [entry for entry in state_dict.values() if len(entry.shape) == 2]
    convolutions = [entry for entry in state_dict.values() if len(entry.shape) in (3, 4, 5)]
    kernels = [entry for entry in convolutions if entry.key.endswith("weight")]
    attends = [key for key in state_dict if ATTENTION.search(key)]
    if not matrices and not kernels:
        return "no network: it has neither a matrix nor a convolution"
    if attends and len(matrices) >= len(attends) / 2:
        return _transformer(state_dict, attends)
    if kernels:
        return _convolutional(state_dict, [entry.shape for entry in kernels])
    layers = len(matrices)
    return f"a network of {layers:,} linear layer{'' if layers == 1 else 's'}"


def _transformer(state_dict: StateDict, attends: list[str]) -> str:
    numbers = {found[1] for key in attends if (found := NUMBERED.search(key))}
    widths = Counter(
        state_dict[key].shape[-1] for key in attends if len(state_dict[key].shape) == 2
    )
    blocks = f" of {len(numbers):,} blocks" if len(numbers) > 1 else ""
    width = f" of width {widths.most_common(1)[0][0]:,}" if widths else ""
    return f"a transformer{blocks}{width}"


def _convolutional(state_dict: StateDict, shapes: list[tuple[int, ...]]) -> str:
    spatial = Counter(len(shape) for shape in shapes).most_common(1)[0][0] - 2
    depthwise = sum(shape[1] == 1 < shape[0] for shape in shapes)
    kind = {1: "a 1-D", 3: "a 3-D"}.get(spatial, "a")
    if 4 * depthwise >= len(shapes):
        kind += " depthwise"
    residual = any(re.search(r"downsample|shortcut|layer\d\.\d+\.conv", key) for key in state_dict)
    like = ", ResNet-like" if residual else ""
    widest = max(shape[0] for shape in shapes)
    return (
        f"{kind} convolutional network{like} of {len(shapes):,} convolutions, "
        f"up to {widest:,} channels"
    )
