"""How an image becomes a tensor, as a value; with that of another size or number of channels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Fit = Literal["cover", "squash", "pad", "keep"]

INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest", "box", "hamming")
"""torchvision's and timm's names of interpolations; all of them antialias PIL images."""

RESIZED_AS_TENSORS = ("bilinear", "bicubic", "nearest")
"""The interpolations that every version of torchvision has for tensors."""

MAX_EDGE = 4096
"""The largest edge in pixels that a file or a person may ask for."""


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes a tensor.

    `resize` and `crop` are (height, width) in pixels. `mean` and `std` have one value for each
    channel, in the order in which the model gets the channels, for pixel values from 0 to 1: every
    other scale and offset is in them too. `fit` says how an image is resized: "cover" keeps its
    proportions, and the longer edge exceeds `resize`; "squash" changes the proportions; "pad" keeps
    them and pads with the mean colour; "keep" does not resize at all. `bgr`: blue comes first.
    `as_tensor`: the image is a tensor before it is resized, as transformers does it; that differs
    from Pillow's resizing by a few of 255 levels, and crops that cannot be in the middle to the
    pixel are rounded down, where torchvision and timm round to an even number.

    `source` says in words where the values come from; `guessed`: neither the file nor the model
    states them. `not_understood` names what the file states besides and is not done.
    """

    resize: tuple[int, int]
    crop: tuple[int, int]
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int
    source: str
    fit: Fit = "cover"
    guessed: bool = False
    bgr: bool = False
    as_tensor: bool = False
    not_understood: tuple[str, ...] = ()

    @property
    def recipe(self) -> tuple[object, ...]:
        """What is done to an image, whoever states it: equal for two that do the same."""
        return (
            *(self.resize, self.crop, self.interpolation, self.mean, self.std, self.channels),
            *(self.fit, self.bgr, self.as_tensor),
        )


IMAGENET = Preprocessing(
    resize=(256, 256),
    crop=(224, 224),
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    channels=3,
    source="guessed: ImageNet's usual values, as neither the model nor the file states any",
    guessed=True,
)
"""The values that most classifiers were trained with; torchvision's ImageClassification preset."""


def of_size(preprocessing: Preprocessing, size: tuple[int, int]) -> Preprocessing:
    """The same preprocessing for images of another (height, width), cropped in proportion."""
    height, width = (
        round(edge * resize / crop)
        for edge, resize, crop in zip(size, preprocessing.resize, preprocessing.crop, strict=True)
    )
    return replace(preprocessing, resize=(height, width), crop=size)


def with_channels(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """The same preprocessing for another number of channels.

    Mean and std are averaged for one channel, and repeated for more channels than they have.
    """
    mean, std = preprocessing.mean, preprocessing.std
    if channels == 1:
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    else:
        mean = tuple(mean[i % len(mean)] for i in range(channels))
        std = tuple(std[i % len(std)] for i in range(channels))
    return replace(preprocessing, channels=channels, mean=mean, std=std)
