"""Key names by which other code is known, and what that code computes with the same tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from core.architectures import Architecture


@dataclass(frozen=True, slots=True)
class KeyStyle:
    """Code whose state_dicts have all of `keys`, below one prefix or none.

    `same` matches the `library:name` of the architectures that compute what it computes, and
    `unlike` those that take its tensors and compute something else. `sentence` says so.
    """

    keys: tuple[str, ...]
    same: str
    unlike: str
    sentence: str


SOURCES = (
    KeyStyle(
        ("_conv_stem.weight", "_bn0.weight", "_blocks.0._depthwise_conv.weight"),
        r"timm:tf_efficientnet_b\d",
        r"(timm|torchvision):efficientnet_b\d",
        "Its key names are those of efficientnet_pytorch, which computes what timm's "
        "tf_efficientnet does: padding SAME, BatchNorm eps 0.001.",
    ),
    KeyStyle(
        (
            "base_encoder.cls_token",
            "momentum_encoder.cls_token",
            "predictor.0.weight",
        ),
        r"",
        r"timm:(vit|flexivit|deit3?)_small(_.*)?",
        "Its key names are those of MoCo v3, whose own ViT-S has 12 heads where timm's has 6: with "
        "6 heads the same tensors compute something else.",
    ),
)
"""efficientnet_pytorch/utils.py (Conv2dStaticSamePadding, batch_norm_epsilon of 1e-3) and
facebookresearch/moco-v3, vits.py (vit_small, num_heads=12)."""


def key_style(keys: Iterable[str]) -> KeyStyle | None:
    """The code that is known by these key names, if there is one."""
    names = frozenset(keys)
    for source in SOURCES:
        first, *rest = source.keys
        ends = [key for key in names if key == first or key.endswith(f".{first}")]
        prefixes = [key.removesuffix(first) for key in ends]
        if any(all(prefix + key in names for key in rest) for prefix in prefixes):
            return source
    return None


def computes(source: KeyStyle | None, architecture: Architecture) -> bool:
    """Whether an architecture computes what the source's code does, as far as that is known."""
    return source is not None and _is(source.same, architecture)


def unlike_source(source: KeyStyle | None, architecture: Architecture) -> str:
    """A sentence if the source's code computes something else; empty if that is not known."""
    return source.sentence if source is not None and _is(source.unlike, architecture) else ""


def _is(pattern: str, architecture: Architecture) -> bool:
    return re.fullmatch(pattern, architecture.plain_key) is not None
