"""A guess of what kind of network a state_dict is of, from its layers alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from core.checkpoint.entries import StateDict, TensorEntry
from core.identify.unwrapping import MAX_LENGTH

ATTENTION = re.compile(
    r"(^|\.)(attn|attention|self_attn|self_attention|qkv|q_proj|in_proj_weight|query)(\.|_|$)"
)
NUMBERED = re.compile(r"(?:^|\.)(\d{1,4})\.")
RESIDUAL = re.compile(r"downsample|shortcut|layer\d\.\d+\.conv")


def family(state_dict: StateDict) -> str:
    """A few words such as `a transformer of 12 blocks of width 768`, or what the tensors are.

    Of very long keys it looks at the ends.
    """
    entries = {entry.key[-MAX_LENGTH:]: entry for entry in state_dict.values()}
    matrices = [entry for entry in entries.values() if len(entry.shape) == 2]
    convolutions = [entry for entry in entries.values() if len(entry.shape) in (3, 4, 5)]
    kernels = [entry for entry in convolutions if entry.key.endswith("weight")]
    attends = {key: entry for key, entry in entries.items() if ATTENTION.search(key)}
    if not matrices and not kernels:
        return "no network: it has neither a matrix nor a convolution"
    if attends and len(matrices) >= len(attends) / 2:
        return _transformer(attends)
    if kernels:
        return _convolutional(entries, [entry.shape for entry in kernels])
    return f"a network of {_counted(len(matrices), 'linear layer')}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _transformer(attends: Mapping[str, TensorEntry]) -> str:
    numbers = {found[1] for key in attends if (found := NUMBERED.search(key))}
    widths = Counter(entry.shape[-1] for entry in attends.values() if len(entry.shape) == 2)
    blocks = f" of {len(numbers):,} blocks" if len(numbers) > 1 else ""
    width = f" of width {widths.most_common(1)[0][0]:,}" if widths else ""
    return f"a transformer{blocks}{width}"


def _convolutional(keys: Iterable[str], shapes: list[tuple[int, ...]]) -> str:
    spatial = Counter(len(shape) for shape in shapes).most_common(1)[0][0] - 2
    depthwise = sum(shape[1] == 1 < shape[0] for shape in shapes)
    kind = {1: "a 1-D", 3: "a 3-D"}.get(spatial, "a")
    if 4 * depthwise >= len(shapes):
        kind += " depthwise"
    like = ", ResNet-like" if any(RESIDUAL.search(key) for key in keys) else ""
    widest = max(shape[0] for shape in shapes)
    return (
        f"{kind} convolutional network{like} of {_counted(len(shapes), 'convolution')}, "
        f"up to {widest:,} channels"
    )
