"""The part of an image that the tensor shows: checked by where coloured pixels go."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.inputs.prepared_image import prepare, seen_box
from core.inputs.preprocessing import IMAGENET

PLAIN = replace(IMAGENET, mean=(0.0,) * 3, std=(1.0,) * 3)


@pytest.mark.parametrize("fit", ["cover", "squash", "pad"])
@pytest.mark.parametrize("size", [(300, 300), (640, 400), (333, 512), (40, 60)])
def test_what_is_in_the_box_is_what_the_tensor_shows(fit, size) -> None:
    """Red and green tell across and down where a pixel is in the image."""
    width, height = size
    across, down = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    pixels = np.stack([across * 255, down * 255, np.full_like(across, 255)], -1)
    image = Image.fromarray(pixels.round().astype(np.uint8))
    preprocessing = replace(PLAIN, fit=fit)
    tensor = prepare(image, preprocessing)
    left, top, right, bottom = seen_box(size, preprocessing)
    edge = preprocessing.crop[0]
    for row, column in ((60, 60), (112, 112), (150, 90), (170, 170)):
        if tensor[2, row, column] < 0.99:  # a border
            continue
        x = left + (column + 0.5) / edge * (right - left)
        y = top + (row + 0.5) / edge * (bottom - top)
        assert tensor[0, row, column].item() == pytest.approx((x - 0.5) / width, abs=0.015)
        assert tensor[1, row, column].item() == pytest.approx((y - 0.5) / height, abs=0.015)


def test_an_image_that_is_kept_is_cropped_in_its_middle() -> None:
    kept = replace(PLAIN, fit="keep")
    assert seen_box((324, 424), kept) == (50, 100, 274, 324)
    assert seen_box((124, 424), kept) == (-50, 100, 174, 324)
