"""Makes the tensor that a model is fed of an image, as a Preprocessing says."""

from __future__ import annotations

import torch
from PIL import Image
from torchvision.transforms import functional as F  # noqa: N812
from torchvision.transforms.functional import InterpolationMode
from torchvision.transforms.v2.functional import resize

from core.errors import ImageError
from core.images import MAX_PIXELS
from core.inputs.preprocessing import RESIZED_AS_TENSORS, Preprocessing


def prepare(image: Image.Image, preprocessing: Preprocessing) -> torch.Tensor:
    """The RGB image as a float32 tensor [channels, height, width].

    The result equals that of torchvision's or timm's own evaluation transform. One channel is grey
    (ITU-R 601 luma); for more than three, the colours are repeated. Raises ImageError if an image
    is so thin that resizing would fill the memory.
    """
    if preprocessing.channels == 1:
        image = image.convert("L")
    pixels = _crop(_resize(image, preprocessing), preprocessing)
    if isinstance(pixels, Image.Image):
        pixels = F.pil_to_tensor(pixels)
    if preprocessing.bgr:
        pixels = pixels.flip(0)
    if preprocessing.channels not in (1, 3):
        pixels = pixels[torch.arange(preprocessing.channels) % 3]
    values = F.convert_image_dtype(pixels, torch.float32)
    normalised: torch.Tensor = F.normalize(
        values, list(preprocessing.mean), list(preprocessing.std)
    )
    return normalised


def seen_box(
    size: tuple[int, int], preprocessing: Preprocessing
) -> tuple[float, float, float, float]:
    """Which part of an image of (width, height) is in the tensor: left, top, right and bottom.

    They are in the image's own pixels, and lie outside of it where the tensor has a border.
    """
    resized = size[::-1] if preprocessing.fit == "keep" else _resized(size, preprocessing)
    box = []
    for own, edge, crop in zip(size[::-1], resized, preprocessing.crop, strict=True):
        lacking = max(0, crop - edge)
        start = _start(edge + lacking, crop, preprocessing) - lacking // 2
        box.append((start * own / edge, (start + crop) * own / edge))
    (top, bottom), (left, right) = box
    return left, top, right, bottom


Pixels = Image.Image | torch.Tensor


def _resize(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    if preprocessing.fit == "keep":
        return image
    height, width = _resized(image.size, preprocessing)
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"The image is too long and thin: {image.width} × {image.height} pixels.",
            "Crop it to what the model should see.",
        )
    way, pixels = InterpolationMode(preprocessing.interpolation), image
    if preprocessing.as_tensor and way.value in RESIZED_AS_TENSORS:
        pixels = F.pil_to_tensor(image)
        # Pillow's nearest is the exact one (transformers/image_utils.py).
        way = InterpolationMode.NEAREST_EXACT if way == InterpolationMode.NEAREST else way
    resized: Pixels = resize(pixels, [height, width], way)
    return resized


def _resized(size: tuple[int, int], preprocessing: Preprocessing) -> tuple[int, int]:
    """The height and width of an image of (width, height) once it is resized, before the crop."""
    own_width, own_height = size
    height, width = preprocessing.resize
    if preprocessing.fit == "squash":
        return height, width
    if preprocessing.fit == "cover" and height == width:
        # torchvision's Resize with one number rounds the longer edge down.
        shorter, longer = sorted(size)
        over = int(height * longer / shorter)
        return (over, height) if own_height >= own_width else (height, over)
    # timm's ResizeKeepRatio (timm/data/transforms.py) rounds both edges to the nearest.
    choose = max if preprocessing.fit == "pad" else min
    ratio = choose(own_height / height, own_width / width)
    return max(1, round(own_height / ratio)), max(1, round(own_width / ratio))


def _crop(pixels: Pixels, preprocessing: Preprocessing) -> Pixels:
    height, width = preprocessing.crop
    _, has_height, has_width = F.get_dimensions(pixels)
    lacking_h, lacking_w = max(0, height - has_height), max(0, width - has_width)
    if lacking_h or lacking_w:
        pixels = _bordered(pixels, lacking_h, lacking_w, preprocessing)
    top = _start(has_height + lacking_h, height, preprocessing)
    left = _start(has_width + lacking_w, width, preprocessing)
    cropped: Pixels = F.crop(pixels, top, left, height, width)
    return cropped


def _start(edge: int, crop: int, preprocessing: Preprocessing) -> int:
    """Where along an edge the crop begins, which is no longer than the edge."""
    return (int if preprocessing.as_tensor else round)((edge - crop) / 2)


def _bordered(
    pixels: Pixels, lacking_h: int, lacking_w: int, preprocessing: Preprocessing
) -> Pixels:
    """The image with a border, black, or of the colour that normalises to zero in timm's
    CenterCropOrPad; of an odd number of pixels the right or lower border has one more."""
    top, left = lacking_h // 2, lacking_w // 2
    fill: list[float] | float = 0
    if preprocessing.fit == "pad":
        colour = [float(round(255 * value)) for value in preprocessing.mean[:3]]
        colour = colour[::-1] if preprocessing.bgr else colour
        fill = colour if len(colour) > 1 else colour[0]
    border = [left, top, lacking_w - left, lacking_h - top]
    padded: Pixels = F.pad(pixels, border, fill=fill)
    return padded
