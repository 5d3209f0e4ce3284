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
    KeyStyle(
        (
            "embeddings.convolution.weight",
            "encoder.blocks.0.depthwise_conv.depthwise_conv.weight",
            "encoder.top_conv.weight",
        ),
        r"timm:tf_efficientnet_b\d",
        r"(timm|torchvision):efficientnet_b\d",
        "Its key names are those of transformers' EfficientNet, which computes what timm's "
        "tf_efficientnet does: padding SAME, BatchNorm eps 0.001.",
    ),
    KeyStyle(
        ("conv_stem.first_conv.convolution.weight", "conv_1x1.convolution.weight"),
        r"",
        r"timm:mobilenetv2_.*|torchvision:(quantized_)?mobilenet_v2",
        "Its key names are those of transformers' MobileNetV2, which computes something else "
        "unless it was configured otherwise: padding SAME, BatchNorm eps 0.001.",
    ),
    KeyStyle(
        (
            "conv_stem.convolution.weight",
            "layer.0.convolution.weight",
            "layer.25.convolution.weight",
        ),
        r"",
        r"timm:mobilenetv1_.*",
        "Its key names are those of transformers' MobileNetV1, which computes something else "
        "unless it was configured otherwise: padding SAME, BatchNorm eps 0.001.",
    ),
    *(
        KeyStyle(
            keys,
            r"",
            r"timm:poolformer_.*",
            "Its key names are those of PoolFormer's own code or of transformers', which norm the "
            "features before they pool them, where timm pools first: the same tensors compute "
            "something else.",
        )
        for keys in (
            ("network.0.0.norm1.weight", "network.0.0.layer_scale_1"),
            ("encoder.block.0.0.before_norm.weight", "encoder.block.0.0.layer_scale_1"),
        )
    ),
    KeyStyle(
        (
            "encoder.network.0.blocks.0.layer_scale",
            "encoder.network.0.blocks.0.point_wise_conv1.weight",
        ),
        r"",
        r"timm:swiftformer_.*",
        "Its key names are those of transformers' SwiftFormer, whose attention takes a softmax "
        "where timm's normalizes: the same tensors compute something else.",
    ),
)
"""efficientnet_pytorch/utils.py (Conv2dStaticSamePadding, batch_norm_epsilon of 1e-3),
facebookresearch/moco-v3, vits.py (vit_small, num_heads=12), sail-sg/poolformer,
models/poolformer.py (forward), and the modeling_*.py of transformers 5.23."""


def key_style(keys: Iterable[str]) -> KeyStyle | None:
    """The code that is known by these key names, if there is one."""
    names = frozenset(keys)
    by_end: dict[str, list[str]] = {_end(source.keys[0]): [] for source in SOURCES}
    for key in names:
        by_end.get(_end(key), []).append(key)
    for source in SOURCES:
        first, *rest = source.keys
        ends = [key for key in by_end[_end(first)] if f".{key}".endswith(f".{first}")]
        prefixes = [key.removesuffix(first) for key in ends]
        if any(all(prefix + key in names for key in rest) for prefix in prefixes):
            return source
    return None


def _end(key: str) -> str:
    """The last two parts of a key."""
    return ".".join(key.rsplit(".", 2)[-2:])


def computes(source: KeyStyle | None, architecture: Architecture) -> bool:
    """Whether an architecture computes what the source's code does, as far as that is known."""
    return source is not None and _is(source.same, architecture)


def unlike_source(source: KeyStyle | None, architecture: Architecture) -> str:
    """A sentence if the source's code computes something else; empty if that is not known."""
    return source.sentence if source is not None and _is(source.unlike, architecture) else ""


def _is(pattern: str, architecture: Architecture) -> bool:
    return re.fullmatch(pattern, architecture.plain_key) is not None
