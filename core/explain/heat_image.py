"""A heat map over the image that it explains."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image

from core.explain.heat_map import HeatMap
from core.inputs import Preprocessing, seen_box

COLOURS = (
    *((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66)),
    *((245, 125, 21), (250, 193, 39), (252, 255, 164)),
)
"""From no heat to the most: seven steps of matplotlib's inferno, which brightens evenly."""

Box = tuple[float, float, float, float]
"""A part of an image: left, top, right and bottom, 0 to 1 within the image."""


OUTLIERS = 0.01
"""The share of a map's pixels that are drawn as hot as the next: single pixels of integrated
gradients are many times hotter than all others, which would then not be seen."""


def hottest_value(maps: Iterable[HeatMap]) -> float:
    """The value from which on maps that are drawn on one scale are at their hottest."""
    values = [each.values.flatten() for each in maps]
    quantiles = [each.quantile(1 - OUTLIERS).item() or each.max().item() for each in values]
    return max(quantiles, default=0.0)


def seen_part(size: tuple[int, int], preprocessing: Preprocessing) -> Box:
    """Which part of an image of (width, height) a model saw; beyond 0 to 1, it saw a border."""
    left, top, right, bottom = seen_box(size, preprocessing)
    return left / size[0], top / size[1], right / size[0], bottom / size[1]


def heat_image(
    image: Image.Image,
    heat: HeatMap,
    opacity: float = 0.6,
    *,
    part: Box = (0.0, 0.0, 1.0, 1.0),
    hottest: float | None = None,
) -> Image.Image:
    """The RGB image with the map over the part of it that the model saw, as another RGB image.

    The more heat, the less of the image is left: none is lost where the map is 0, and `opacity` (0
    to 1) of it where the map is `hottest` or more, which is its own `hottest_value` if it is None.
    """
    width, height = image.size
    most = hottest_value([heat]) if hottest is None else hottest
    share = _placed(heat.values / most if most > 0 else heat.values * 0, (width, height), part)
    mixed = np.asarray(image.convert("RGB"), dtype=np.float32)
    weight = (share * opacity)[..., None]
    stops = np.linspace(0, 1, len(COLOURS))
    colours = np.stack(
        [np.interp(share, stops, [colour[band] for colour in COLOURS]) for band in range(3)], -1
    )
    blended = mixed * (1 - weight) + colours * weight
    return Image.fromarray(blended.round().astype(np.uint8))


def _placed(share: torch.Tensor, size: tuple[int, int], part: Box) -> np.ndarray:
    """The shares [height, width] of an image of this size: 0 outside of the part."""
    width, height = size
    box = (part[0] * width, part[1] * height, part[2] * width, part[3] * height)
    flat = Image.fromarray(share.clamp(0, 1).numpy())
    scale = (flat.width / (box[2] - box[0]), flat.height / (box[3] - box[1]))
    # The affine map from a pixel of the image to one of the map (PIL.Image.Transform.AFFINE).
    coefficients = (scale[0], 0, -box[0] * scale[0], 0, scale[1], -box[1] * scale[1])
    placed = flat.transform(
        size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=0
    )
    return np.asarray(placed)
