"""A prepared tensor as an image that a person can look at, and the range of its values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torchvision.transforms import functional as F  # noqa: N812

from core.inputs import Preprocessing
from core.wording import counted


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The smallest, the mean and the largest of a tensor's values."""

    smallest: float
    mean: float
    largest: float


@dataclass(frozen=True, slots=True)
class SeenImage:
    """What a model sees of an image.

    `image` has the tensor's height and width, in grey ("L") for one channel and else in colour
    ("RGB"); `remark` says which channels it shows if they are not all. `pixels` are the values
    from 0 to 1, before mean and std; `normalised` are those that the model gets.
    """

    image: Image.Image
    shape: tuple[int, ...]
    pixels: ValueRange
    normalised: ValueRange
    remark: str = ""


def seen_image(tensor: torch.Tensor, preprocessing: Preprocessing) -> SeenImage:
    """A tensor [channels, height, width] that `prepare` made, as an image of the same size."""
    pixels = seen_pixels(tensor, preprocessing)
    channels = len(pixels)
    shown = 3 if channels >= 3 else 1
    remark = ""
    if channels != shown:
        which = "first three" if shown == 3 else "first"
        remark = f"The {which} of {counted(channels, 'channel')}."
    coloured = pixels[:shown].flip(0) if preprocessing.bgr else pixels[:shown]
    return SeenImage(
        F.to_pil_image(coloured),
        tuple(tensor.shape),
        _range(pixels.double() / 255),
        _range(tensor),
        remark,
    )


def seen_pixels(tensor: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """The 8-bit pixels, uint8 [channels, height, width], of a tensor that `prepare` made.

    They are exactly the pixels that `prepare` normalised, because it starts from 8 bits.
    """
    # In float64 the error stays that of the tensor's own float32, far below half a pixel value.
    mean, std = (
        torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    return ((tensor.double() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def _range(values: torch.Tensor) -> ValueRange:
    return ValueRange(values.min().item(), values.double().mean().item(), values.max().item())
