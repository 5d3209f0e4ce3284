"""A map over an image, by its pixels: where, how much, and on which scale."""

import numpy as np
import pytest
import torch
from PIL import Image

from core.explain.heat_image import COLOURS, heat_image, hottest_value, seen_part
from core.explain.heat_map import HeatMap
from core.inputs import IMAGENET

GREEN = (10, 200, 30)


def heat(values: torch.Tensor) -> HeatMap:
    return HeatMap("gradcam", values.float(), 0, 1.0, "")


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_the_image_is_as_it_was_where_the_map_is_zero() -> None:
    values = torch.zeros(4, 4)
    values[:2, :2] = 1
    image = Image.new("RGB", (4, 4), GREEN)
    shown = pixels(heat_image(image, heat(values), 1.0))
    assert (shown[2:, 2:] == GREEN).all()
    assert (shown[:2, :2] == COLOURS[-1]).all()
    assert pixels(image).tolist() == np.full((4, 4, 3), GREEN).tolist()


def test_opacity_is_how_much_of_the_image_is_lost_where_it_is_hottest() -> None:
    image = Image.new("RGB", (2, 1), GREEN)
    shown = pixels(heat_image(image, heat(torch.tensor([[1.0, 0.0]])), 0.25))
    assert shown[0, 0].tolist() == pytest.approx(
        [0.75 * own + 0.25 * hot for own, hot in zip(GREEN, COLOURS[-1], strict=True)], abs=1
    )
    assert shown[0, 1].tolist() == list(GREEN)
    assert (pixels(heat_image(image, heat(torch.ones(1, 2)), 0.0)) == GREEN).all()


def test_two_maps_are_drawn_on_one_scale() -> None:
    weak, strong = heat(torch.full((1, 1), 2.0)), heat(torch.full((1, 1), 8.0))
    hottest = hottest_value([weak, strong])
    assert hottest == 8
    image = Image.new("RGB", (1, 1), GREEN)
    one, other = (pixels(heat_image(image, each, 1.0, hottest=hottest)) for each in (weak, strong))
    assert other[0, 0].tolist() == list(COLOURS[-1])
    assert one[0, 0].tolist() != other[0, 0].tolist()
    assert pixels(heat_image(image, weak, 1.0))[0, 0].tolist() == list(COLOURS[-1])


def test_single_outliers_do_not_hide_the_rest() -> None:
    values = torch.ones(20, 20)
    values[3, 4] = 1000.0
    assert hottest_value([heat(values)]) == 1
    alone = torch.zeros(20, 20)
    alone[3, 4] = 5.0
    assert hottest_value([heat(alone)]) == 5
    assert hottest_value([]) == 0


def test_a_map_of_zeros_changes_nothing() -> None:
    image = Image.new("RGB", (3, 3), GREEN)
    assert (pixels(heat_image(image, heat(torch.zeros(3, 3)), 1.0)) == GREEN).all()


def test_the_map_lies_on_the_part_that_the_model_saw() -> None:
    """Of a wide image torchvision crops the middle: 256 of 512 resized pixels, and of these 224."""
    image = Image.new("RGB", (800, 400), GREEN)
    shown = pixels(
        heat_image(image, heat(torch.ones(224, 224)), 1.0, part=seen_part(image.size, IMAGENET))
    )
    hot = (shown != GREEN).any(-1)
    edge = 400 * 224 / 256
    rows, columns = np.flatnonzero(hot.any(1)), np.flatnonzero(hot.any(0))
    assert (rows[0], rows[-1] + 1) == pytest.approx((200 - edge / 2, 200 + edge / 2), abs=1)
    assert (columns[0], columns[-1] + 1) == pytest.approx((400 - edge / 2, 400 + edge / 2), abs=1)
    assert hot[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_a_border_that_the_model_saw_is_outside_of_the_image() -> None:
    image = Image.new("RGB", (4, 2), GREEN)
    values = torch.zeros(4, 4)
    values[0], values[1, 0] = 9.0, 1.0
    shown = pixels(heat_image(image, heat(values), 1.0, part=(0, -0.5, 1, 1.5), hottest=1.0))
    assert shown[0, 0].tolist() == list(COLOURS[-1])
    assert (shown[1] == GREEN).all()
