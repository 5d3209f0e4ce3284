"""The mistakes that people usually make when they feed a model images, and the tensors they give.

A mistake raises no error: the model takes the tensor, and answers a little or entirely wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F  # noqa: N812

from core.inputs import IMAGENET, Preprocessing, prepare, with_channels
from core.predict.seen.seen_image import seen_pixels

HALVES = replace(IMAGENET, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""The mean and std of TensorFlow's models and of those that take values from -1 to 1."""

USUAL_INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest")
"""Those that training scripts use; nobody takes box or hamming by mistake."""


@dataclass(frozen=True, slots=True)
class UsualMistake:
    """A mistake in words that complete "… changes the answer", such as "BGR instead of RGB".

    `code` is one line of torchvision (or of timm, OpenCV) that makes it. `preprocessing` does on
    purpose what the mistake does; None if a Preprocessing cannot say it. `telling`: a confident
    answer under it suggests that the model was trained that way.
    """

    name: str
    code: str
    preprocessing: Preprocessing | None = None
    telling: bool = True


Mistaken = tuple[UsualMistake, Callable[[], torch.Tensor]]
"""A mistake, and what computes the tensor that it gives. That raises ImageError if the mistake
would make the image too large."""


def usual_mistakes(
    image: Image.Image, right: torch.Tensor, preprocessing: Preprocessing
) -> Iterator[Mistaken]:
    """The mistakes that are possible where a model wants `preprocessing`.

    `right` is what `prepare` makes of the RGB image; each mistake gives a tensor of its shape.
    """
    yield from _of_channels(image, preprocessing)
    yield from _of_values(right, preprocessing)
    if preprocessing.fit == "keep":
        return  # nothing is resized
    for mistake in (*_of_shape(preprocessing), *_of_interpolation(preprocessing)):
        assert mistake.preprocessing is not None
        yield mistake, partial(prepare, image, mistake.preprocessing)
    yield from _of_antialiasing(image, preprocessing)


def _of_channels(image: Image.Image, preprocessing: Preprocessing) -> Iterator[Mistaken]:
    if preprocessing.channels < 3:
        return
    other = replace(preprocessing, bgr=not preprocessing.bgr)
    if preprocessing.bgr:
        mistake = UsualMistake("RGB instead of BGR", "Image.open(path)  # Pillow reads RGB", other)
    else:
        code = "Image.fromarray(cv2.imread(path))  # OpenCV reads BGR"
        mistake = UsualMistake("BGR instead of RGB", code, other)
    yield mistake, partial(prepare, image, other)


def _of_values(right: torch.Tensor, preprocessing: Preprocessing) -> Iterator[Mistaken]:
    """Mistakes after the image has its size: they start from the right pixels."""
    pixels = seen_pixels(right, preprocessing).float()
    mean, std = preprocessing.mean, preprocessing.std
    # As part of a Preprocessing: (255x - mean) / std = (x - mean / 255) / (std / 255).
    by_255 = tuple(value / 255 for value in mean), tuple(value / 255 for value in std)
    yield (
        UsualMistake(
            "leaving values at 0–255",
            "v2.ToDtype(torch.float32)  # without scale=True",
            _normalising(preprocessing, *by_255),
            # Nearly any model is sure of its answer to values that are 255 times too large.
            telling=False,
        ),
        lambda: _normalised(pixels, mean, std),
    )
    none = (0.0,) * len(mean), (1.0,) * len(std)
    if (mean, std) != none:
        yield (
            UsualMistake(
                "leaving out mean/std",
                "v2.ToDtype(torch.float32, scale=True)  # and no v2.Normalize",
                _normalising(preprocessing, *none),
            ),
            lambda: pixels / 255,
        )
    for name, usual in (("ImageNet mean/std", IMAGENET), ("mean/std 0.5", HALVES)):
        other = with_channels(usual, preprocessing.channels)
        if (other.mean, other.std) == (mean, std):
            continue
        yield (
            UsualMistake(
                name,
                f"v2.Normalize(mean={list(other.mean)}, std={list(other.std)})",
                _normalising(preprocessing, other.mean, other.std),
            ),
            partial(_normalised, pixels / 255, other.mean, other.std),
        )


def _normalised(
    values: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]
) -> torch.Tensor:
    normalised: torch.Tensor = F.normalize(values, list(mean), list(std))
    return normalised


def _normalising(
    preprocessing: Preprocessing, mean: tuple[float, ...], std: tuple[float, ...]
) -> Preprocessing | None:
    """The same preprocessing with another mean and std. None where images are padded: the border
    has the mean's colour, so that it would change too."""
    return None if preprocessing.fit == "pad" else replace(preprocessing, mean=mean, std=std)


def _of_shape(preprocessing: Preprocessing) -> Iterator[UsualMistake]:
    doing = {"cover": "cropping", "squash": "squashing", "pad": "padding"}[preprocessing.fit]
    height, width = preprocessing.crop
    if preprocessing.fit != "squash":
        squashing = replace(preprocessing, fit="squash", resize=preprocessing.crop)
        yield UsualMistake(f"squashing instead of {doing}", _resize_code(squashing), squashing)
    if preprocessing.fit != "cover":
        cropping = replace(preprocessing, fit="cover")
        yield UsualMistake(
            f"cropping instead of {doing}",
            f"v2.Compose([{_resize_code(cropping)}, v2.CenterCrop(({height}, {width}))])",
            cropping,
        )
    if preprocessing.resize != preprocessing.crop:
        direct = replace(preprocessing, resize=preprocessing.crop)
        sizes = (_edges_code(each) for each in (preprocessing.crop, preprocessing.resize))
        yield UsualMistake(
            "resizing to {} instead of {}".format(*sizes), _resize_code(direct), direct
        )


def _of_interpolation(preprocessing: Preprocessing) -> Iterator[UsualMistake]:
    for interpolation in USUAL_INTERPOLATIONS:
        if interpolation != preprocessing.interpolation:
            other = replace(preprocessing, interpolation=interpolation)
            yield UsualMistake(
                f"{interpolation} instead of {preprocessing.interpolation}",
                _resize_code(other),
                other,
            )


def _of_antialiasing(image: Image.Image, preprocessing: Preprocessing) -> Iterator[Mistaken]:
    """Resizing as OpenCV and old pipelines of tensors do: bilinear, from four pixels alone."""
    height, width = preprocessing.resize
    if preprocessing.fit == "squash":
        size = [height, width]
    elif preprocessing.fit == "cover" and height == width:
        size = [height]
    else:  # timm alone resizes so, and it does so with Pillow, which always antialiases
        return

    def tensor() -> torch.Tensor:
        source = image.convert("L") if preprocessing.channels == 1 else image
        pixels = F.pil_to_tensor(source)
        resized = F.resize(pixels, size, InterpolationMode.BILINEAR, antialias=False)
        # It has its size already, so that `prepare` only crops and normalises.
        return prepare(F.to_pil_image(resized).convert("RGB"), preprocessing)

    edges = height if len(size) == 1 else (height, width)
    yield (
        UsualMistake(
            "bilinear without antialiasing",
            f"v2.Resize({edges}, antialias=False)(v2.functional.pil_to_tensor(image))",
        ),
        tensor,
    )


def _resize_code(preprocessing: Preprocessing) -> str:
    """How torchvision resizes so, or timm where torchvision has no such transform."""
    height, width = preprocessing.resize
    mode = f"v2.InterpolationMode.{preprocessing.interpolation.upper()}"
    if preprocessing.fit == "squash":
        return f"v2.Resize(({height}, {width}), {mode})"
    if preprocessing.fit == "cover" and height == width:
        return f"v2.Resize({height}, {mode})"
    longest = 1 if preprocessing.fit == "pad" else 0
    return (
        f"timm.data.transforms.ResizeKeepRatio(({height}, {width}), longest={longest}, "
        f"interpolation={preprocessing.interpolation!r})"
    )


def _edges_code(size: tuple[int, int]) -> str:
    height, width = size
    return str(height) if height == width else str(size)
