"""Draws what a model found over the image that it was fed: objects, classes or values of pixels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from io import BytesIO

import torch
from PIL import Image, ImageDraw, ImageFont

from core.predict.answer_words import class_name
from core.predict.answers import (
    AnswerValue,
    FoundObjects,
    ObjectMask,
    PixelClasses,
    PixelValues,
)
from core.predict.drawing.class_colours import Colour, class_colour
from core.wording import percent

MOST_EDGE = 1000
"""Pixels of the longer edge of what is drawn: a larger image is made smaller before."""

MASK_OPACITY = 0.45

LUMA = (0.299, 0.587, 0.114)
"""How bright red, green and blue are (ITU-R 601)."""

VIRIDIS: Sequence[Colour] = (
    *((68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142)),
    *((31, 158, 137), (53, 183, 121), (109, 205, 89), (180, 222, 44), (253, 231, 37)),
)
"""Ten steps of matplotlib's colour map, from the least to the largest value."""


def drawn_answer(
    image: Image.Image,
    value: AnswerValue,
    names: Sequence[str],
    *,
    threshold: float = 0.5,
    opacity: float = 0.6,
    only: Collection[int] | None = None,
) -> Image.Image:
    """The RGB image with what was found drawn over it; another image of at most MOST_EDGE pixels.

    Objects are drawn from the score `threshold` on, pixels with that `opacity`; `only` those of
    some classes, by default of all. An answer that has no place in the image leaves it as it is.
    """
    scale = min(1.0, MOST_EDGE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.convert("RGB")
    small = small.resize(size, Image.Resampling.BILINEAR) if scale < 1 else small.copy()
    if isinstance(value, FoundObjects):
        return _with_objects(small, value, names, scale, threshold, only)
    if isinstance(value, PixelClasses):
        return _with_classes(small, value.classes, opacity, only)
    if isinstance(value, PixelValues):
        return _with_values(small, value, opacity)
    return small


def as_webp(image: Image.Image) -> bytes:
    """The image as a WebP file."""
    buffer = BytesIO()
    image.save(buffer, "WEBP", quality=88)
    return buffer.getvalue()


def _with_objects(
    image: Image.Image,
    objects: FoundObjects,
    names: Sequence[str],
    scale: float,
    threshold: float,
    only: Collection[int] | None,
) -> Image.Image:
    shown = [
        place
        for place in range(objects.above(threshold))
        if only is None or int(objects.labels[place]) in only
    ]
    for place in reversed(shown):  # that of the highest score on top
        if objects.masks:
            colour = class_colour(int(objects.labels[place]))
            image = _with_mask(image, objects.masks[place], scale, colour)
    draw = ImageDraw.Draw(image)
    width = max(2, round(max(image.size) / 300))
    font = ImageFont.load_default(max(9, round(max(image.size) / 50)))
    for place in reversed(shown):
        index = int(objects.labels[place])
        box = [scale * edge for edge in objects.boxes[place].tolist()]
        draw.rectangle(_ordered(box), outline=class_colour(index), width=width)
        if objects.keypoints is not None:
            _draw_points(draw, objects.keypoints[place], scale, width)
    for place in reversed(shown):
        index = int(objects.labels[place])
        box = [scale * edge for edge in objects.boxes[place].tolist()]
        score = percent(float(objects.scores[place])).replace("\u202f", " ")
        _draw_name(draw, f"{class_name(names, index)} {score}", box, class_colour(index), font)
    return image


def _ordered(box: Sequence[float]) -> list[float]:
    """Pillow refuses a box whose right edge is left of its left one."""
    left, top, right, bottom = box
    return [min(left, right), min(top, bottom), max(left, right), max(top, bottom)]


def _draw_points(draw: ImageDraw.ImageDraw, points: torch.Tensor, scale: float, width: int) -> None:
    for x, y, visible in points.tolist():
        if visible > 0:
            middle = scale * x, scale * y
            draw.circle(middle, 1.5 * width, fill=(255, 255, 255), outline=(0, 0, 0))


def _draw_name(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: Sequence[float],
    colour: Colour,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    """Write a name on the box's colour above its upper edge, or below that if there is no room."""
    left, top = max(0.0, min(box[0], box[2])), min(box[1], box[3])
    _, _, width, height = draw.textbbox((0, 0), text, font=font)
    top = top - height - 4 if top >= height + 4 else top
    draw.rectangle([left, top, left + width + 6, top + height + 4], fill=colour)
    luma = sum(part * weight for part, weight in zip(colour, LUMA, strict=True))
    draw.text(
        (left + 3, top + 1), text, fill=(255, 255, 255) if luma < 140 else (0, 0, 0), font=font
    )


def _with_mask(image: Image.Image, mask: ObjectMask, scale: float, colour: Colour) -> Image.Image:
    height, width = mask.pixels.shape
    if not height or not width:
        return image
    inside = Image.fromarray((mask.pixels * int(255 * MASK_OPACITY)).to(torch.uint8).numpy())
    size = max(1, round(width * scale)), max(1, round(height * scale))
    place = round(mask.left * scale), round(mask.top * scale)
    image.paste(Image.new("RGB", size, colour), place, inside.resize(size))
    return image


def _with_classes(
    image: Image.Image, classes: torch.Tensor, opacity: float, only: Collection[int] | None
) -> Image.Image:
    """The image under the colours of its pixels' classes; class 0 of several is the background in
    most sets of classes, and is coloured too, since nothing says so."""
    indices = classes.long()
    present = indices.flatten().bincount().nonzero().flatten().tolist()
    colours = torch.zeros(max(present) + 1, 4, dtype=torch.uint8)
    for index in present:
        shown = 0 if only is not None and index not in only else round(255 * opacity)
        colours[index] = torch.tensor([*class_colour(index), shown], dtype=torch.uint8)
    overlay = Image.fromarray(colours[indices].numpy(), "RGBA")
    return _under(image, overlay.resize(image.size, Image.Resampling.NEAREST))


def _with_values(image: Image.Image, values: PixelValues, opacity: float) -> Image.Image:
    span = values.largest - values.smallest
    parts = (values.values - values.smallest) / span if span else torch.zeros_like(values.values)
    places = parts * (len(VIRIDIS) - 1)
    below = places.floor().long().clamp(0, len(VIRIDIS) - 2)
    steps = torch.tensor(VIRIDIS, dtype=torch.float32)
    mixed = steps[below].lerp(steps[below + 1], (places - below).unsqueeze(-1))
    colours = Image.fromarray(mixed.round().to(torch.uint8).numpy())
    overlay = colours.resize(image.size, Image.Resampling.BILINEAR).convert("RGBA")
    overlay.putalpha(round(255 * opacity))
    return _under(image, overlay)


def _under(image: Image.Image, overlay: Image.Image) -> Image.Image:
    return Image.alpha_composite(image.convert("RGBA"), overlay).convert("RGB")
