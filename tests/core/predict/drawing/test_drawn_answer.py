"""What a model found is drawn where it is, in the colour of its class."""

from io import BytesIO

import pytest
import torch
from PIL import Image

from core.predict.answers import (
    EmbeddingRow,
    FoundObjects,
    ObjectMask,
    PixelClasses,
    PixelValues,
)
from core.predict.drawing import as_webp, class_colour, css_colour, drawn_answer

GREY = (128, 128, 128)
NAMES = ("background", "cat", "dog")


def grey(width=200, height=160):
    return Image.new("RGB", (width, height), GREY)


def objects(**more):
    return FoundObjects(
        torch.tensor([[50.0, 60, 150, 140], [10, 30, 40, 50]]),
        torch.tensor([1, 2]),
        torch.tensor([0.9, 0.4]),
        **more,
    )


def test_a_box_is_drawn_on_its_edges_in_the_colour_of_its_class():
    drawn = drawn_answer(grey(), objects(), NAMES)
    for edge in ((50, 100), (150, 100), (100, 140)):
        assert drawn.getpixel(edge) == class_colour(1)
    assert drawn.getpixel((100, 100)) == GREY
    assert drawn.getpixel((10, 40)) == GREY  # its score is below the threshold


def test_a_lower_threshold_draws_more_and_a_class_filter_less():
    both = drawn_answer(grey(), objects(), NAMES, threshold=0.3)
    assert both.getpixel((10, 40)) == class_colour(2)
    dogs = drawn_answer(grey(), objects(), NAMES, threshold=0.3, only=(2,))
    assert dogs.getpixel((50, 100)) == GREY
    assert dogs.getpixel((10, 40)) == class_colour(2)


def test_the_name_stands_above_its_box():
    drawn = drawn_answer(grey(), objects(), NAMES)
    strip = drawn.crop((50, 40, 110, 59))
    assert class_colour(1) in {colour for _, colour in strip.getcolors(10_000)}
    assert drawn.getpixel((50, 20)) == GREY


def test_a_mask_colours_its_own_pixels_alone():
    pixels = torch.zeros(40, 60, dtype=torch.bool)
    pixels[:, :30] = True
    mask, none = ObjectMask(60, 80, pixels), ObjectMask(0, 0, torch.zeros(0, 0, dtype=torch.bool))
    drawn = drawn_answer(grey(), objects(masks=(mask, none)), NAMES)
    assert drawn.getpixel((75, 100)) != GREY
    assert drawn.getpixel((110, 100)) == GREY


def test_a_visible_keypoint_is_a_white_dot():
    points = torch.tensor([[[100.0, 100.0, 1.0], [120.0, 100.0, 0.0]]] * 2)
    drawn = drawn_answer(grey(), objects(keypoints=points), NAMES)
    assert drawn.getpixel((100, 100)) == (255, 255, 255)
    assert drawn.getpixel((120, 100)) == GREY


def test_a_large_image_is_drawn_smaller_with_its_boxes():
    box = torch.tensor([[1000.0, 1200, 3000, 2800]])
    found = FoundObjects(box, torch.tensor([1]), torch.tensor([0.9]))
    drawn = drawn_answer(grey(4000, 3200), found, NAMES)
    assert drawn.size == (1000, 800)
    assert drawn.getpixel((250, 500)) == drawn.getpixel((750, 500)) == class_colour(1)


@pytest.mark.parametrize(
    "box", [[500.0, 500, 700, 700], [150, 140, 50, 60], [0, 0, 0, 0], [-50, -50, 20, 20]]
)
def test_an_odd_box_is_no_error(box):
    found = FoundObjects(torch.tensor([box]), torch.tensor([9]), torch.tensor([1.0]))
    assert drawn_answer(grey(), found, NAMES).size == (200, 160)


def halves():
    classes = torch.zeros(80, 100, dtype=torch.uint8)
    classes[:, 50:] = 2
    return PixelClasses(classes, {0: 0.5, 2: 0.5})


def test_pixels_have_the_colour_of_their_class_at_the_image_s_own_size():
    drawn = drawn_answer(grey(), halves(), NAMES, opacity=1)
    assert drawn.size == (200, 160)
    assert (drawn.getpixel((20, 80)), drawn.getpixel((180, 80))) == (
        class_colour(0),
        class_colour(2),
    )


def test_half_an_opacity_mixes_and_a_filter_leaves_the_others_out():
    mixed = drawn_answer(grey(), halves(), NAMES, opacity=0.5).getpixel((180, 80))
    expected = [(128 + part) / 2 for part in class_colour(2)]
    assert mixed == pytest.approx(expected, abs=2)
    only = drawn_answer(grey(), halves(), NAMES, opacity=1, only=(2,))
    assert (only.getpixel((20, 80)), only.getpixel((180, 80))) == (GREY, class_colour(2))


def test_a_map_goes_from_dark_violet_to_yellow():
    values = torch.linspace(-3, 5, 100).repeat(80, 1)
    drawn = drawn_answer(grey(), PixelValues(values, -3, 1, 5), (), opacity=1)
    assert drawn.getpixel((0, 80)) == pytest.approx((68, 1, 84), abs=3)
    assert drawn.getpixel((199, 80)) == pytest.approx((253, 231, 37), abs=3)
    flat = PixelValues(torch.ones(8, 8), 1, 1, 1)
    assert drawn_answer(grey(), flat, (), opacity=1).getpixel((9, 9)) == (68, 1, 84)


def test_what_has_no_place_in_the_image_leaves_it_as_it_is():
    image = grey()
    drawn = drawn_answer(image, EmbeddingRow(torch.ones(4)), ())
    assert drawn.tobytes() == image.tobytes()
    assert drawn is not image


def test_the_image_that_is_given_is_not_changed():
    image = grey()
    drawn_answer(image, objects(), NAMES)
    assert image.getcolors() == [(200 * 160, GREY)]


def test_it_becomes_a_webp_that_opens():
    image = Image.open(BytesIO(as_webp(grey())))
    assert (image.format, image.size) == ("WEBP", (200, 160))


def test_hundreds_of_classes_have_colours_of_their_own():
    colours = [class_colour(index) for index in range(150)]
    assert len(set(colours)) == 150
    assert css_colour((36, 87, 197)) == "#2457c5"
