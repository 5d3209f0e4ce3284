"""Images that a model takes whole, whatever their proportions: for detectors and segmentation."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from PIL import Image

from core.architectures import Architecture
from core.inputs import (
    CHECKPOINT,
    IMAGENET,
    Offer,
    OpenedFile,
    Preprocessing,
    prepare,
    preprocessing_choices,
)
from core.predict.image_models import vision_folder

DETECTOR_EDGE = 800
"""The shorter edge to which most of torchvision's detectors resize an image themselves: the first
value of the field, for a person who resizes before."""


@dataclass(frozen=True, slots=True)
class WholeImage(Preprocessing):
    """A preprocessing that crops nothing: `fit` "cover" resizes the shorter edge to `resize`, and
    "keep" does not resize. Where a person sets another `crop`, that is cropped all the same."""


def image_choices(architecture: Architecture, file: OpenedFile | None = None) -> tuple[Offer, ...]:
    """What a model may be fed, the most likely first: `preprocessing_choices`, and before them what
    torchvision's detectors and segmentation models take.

    A detector normalises its images itself, so what its file states on that is no first choice; nor
    is it where it is a guess in part, such as a mean without a size.
    """
    choices = preprocessing_choices(architecture, file)
    own = _of_task(architecture)
    if own is None:
        return choices
    stated = tuple(choice for choice in choices if choice.name == CHECKPOINT)
    sure = all(not choice.preprocessing.guessed for choice in stated)
    return (*stated, own) if sure and own.preprocessing.fit != "keep" else (own, *stated)


def _of_task(architecture: Architecture) -> Offer | None:
    folder = vision_folder(architecture)
    if folder == "detection":
        edges = (DETECTOR_EDGE, DETECTOR_EDGE)
        source = "torchvision's detectors, which resize and normalise an image themselves"
        plain = replace(IMAGENET, mean=(0.0,) * 3, std=(1.0,) * 3)
        return Offer(folder, _whole(plain, edges, source, "keep"))
    if folder == "segmentation":
        from torchvision.models import get_model_weights

        entry = get_model_weights(architecture.name).DEFAULT
        recipe = entry.transforms()
        edges = (recipe.resize_size[0], recipe.resize_size[0])
        plain = replace(
            IMAGENET,
            mean=tuple(recipe.mean),
            std=tuple(recipe.std),
            interpolation=recipe.interpolation.value,
        )
        return Offer(folder, _whole(plain, edges, f"torchvision's own recipe for {entry}", "cover"))
    return None


def _whole(plain: Preprocessing, edges: tuple[int, int], source: str, fit: str) -> WholeImage:
    values = {each.name: getattr(plain, each.name) for each in fields(Preprocessing)}
    values |= {"resize": edges, "crop": edges, "source": source, "fit": fit, "guessed": False}
    return WholeImage(**values)


def prepare_image(image: Image.Image, preprocessing: Preprocessing) -> torch.Tensor:
    """The RGB image as a float32 tensor [channels, height, width]; a WholeImage crops nothing.

    Raises ImageError if an image is so thin that resizing would fill the memory.
    """
    if isinstance(preprocessing, WholeImage) and preprocessing.crop == preprocessing.resize:
        size = _whole_size(image, preprocessing)
        preprocessing = replace(preprocessing, resize=size, crop=size, fit="squash")
    return prepare(image, preprocessing)


def _whole_size(image: Image.Image, preprocessing: WholeImage) -> tuple[int, int]:
    """The height and width to which the whole image is resized."""
    height, width = preprocessing.resize
    if preprocessing.fit == "keep":
        return image.height, image.width
    if preprocessing.fit != "cover" or height != width:
        return height, width
    # torchvision's Resize with one number rounds the longer edge down.
    shorter, longer = sorted((image.height, image.width))
    over = int(height * longer / shorter)
    return (over, height) if image.height >= image.width else (height, over)
