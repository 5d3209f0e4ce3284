"""Names known of heads of a certain size: ImageNet's, and those of timm's larger subsets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

IMAGENET_CLASSES = 1_000

TIMM_SETS: Mapping[int, str] = {
    11_221: "imagenet-21k-miil",
    11_821: "imagenet-12k",
    21_841: "imagenet-22k",
    21_842: "imagenet-22k-ms",
    21_843: "imagenet-21k-goog",
}
"""The names of timm's larger subsets of ImageNet by their number of classes, by which timm itself
finds them (timm/data/imagenet_info.py, `infer_imagenet_subset`)."""


@dataclass(frozen=True, slots=True)
class KnownLabels:
    """Names in order, and whose they are in words: `ImageNet's names`."""

    names: tuple[str, ...]
    whose: str


@cache
def known_labels(outputs: int) -> KnownLabels | None:
    """The names that a head of that many outputs most likely has, or None."""
    if outputs == IMAGENET_CLASSES:
        return KnownLabels(imagenet_labels(), "ImageNet's names")
    if outputs == IMAGENET_CLASSES + 1:
        # The models of TensorFlow's research repository have a class for none before ImageNet's.
        names = ("background", *imagenet_labels())
        return KnownLabels(names, "a background class, then ImageNet's names")
    subset = TIMM_SETS.get(outputs)
    return KnownLabels(_timm_names(subset), f"timm's names of {subset}") if subset else None


@cache
def imagenet_labels() -> tuple[str, ...]:
    """ImageNet-1k's 1,000 names in the usual order, by torchvision's weights."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def _timm_names(subset: str) -> tuple[str, ...]:
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo(subset).label_descriptions())
