"""What a model sees is drawn from the tensor itself, and is the 8-bit pixels to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as F  # noqa: N812

from core.inputs import IMAGENET, Preprocessing, prepare, with_channels
from core.predict.seen.seen_image import seen_image, seen_pixels


def all_values(width=256, height=256):
    """An image with each of the 256 values in each channel, next to every other."""
    rng = np.random.default_rng(5)
    pixels = [rng.permutation(np.resize(np.arange(256), width * height)) for _ in range(3)]
    return Image.fromarray(
        np.stack(pixels, -1).reshape(height, width, 3).astype(np.uint8), mode="RGB"
    )


def unresized(**fields) -> Preprocessing:
    return replace(IMAGENET, resize=(256, 256), crop=(256, 256), **fields)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (IMAGENET.mean, IMAGENET.std),
        ((0.5,) * 3, (0.5,) * 3),
        ((0.0,) * 3, (1.0,) * 3),
        ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ((0.485 / 255, 0.456 / 255, 0.406 / 255), (0.229 / 255, 0.224 / 255, 0.225 / 255)),
        ((-10.0, 10.0, 3.0), (0.0001, 10.0, 0.001)),
    ],
    ids=["imagenet", "halves", "none", "clip", "0-255", "extreme"],
)
def test_the_pixels_of_a_tensor_are_those_that_were_prepared(mean, std):
    image = all_values()
    preprocessing = unresized(mean=mean, std=std)
    tensor = prepare(image, preprocessing)
    assert torch.equal(seen_pixels(tensor, preprocessing), F.pil_to_tensor(image))
    assert seen_image(tensor, preprocessing).image.tobytes() == image.tobytes()


def test_a_model_that_gets_blue_first_sees_the_colours_of_the_image():
    image, preprocessing = all_values(), unresized(bgr=True)
    assert (
        seen_image(prepare(image, preprocessing), preprocessing).image.tobytes() == image.tobytes()
    )


def test_the_image_is_what_was_cropped_and_resized():
    image = all_values(500, 300)
    seen = seen_image(prepare(image, IMAGENET), IMAGENET)
    expected = F.center_crop(F.resize(image, [256]), [224, 224])
    assert seen.image.tobytes() == expected.tobytes()
    assert seen.shape == (3, 224, 224)
    assert not seen.remark


def test_one_channel_is_grey_and_of_more_than_three_the_first_three_are_shown():
    image = all_values()
    for channels, mode, remark in (
        (1, "L", ""),
        (2, "L", "The first of 2 channels."),
        (4, "RGB", "The first three of 4 channels."),
    ):
        preprocessing = with_channels(unresized(), channels)
        seen = seen_image(prepare(image, preprocessing), preprocessing)
        assert (seen.image.mode, seen.remark, seen.shape[0]) == (mode, remark, channels)
        expected = image.convert("L") if channels == 1 else image if channels == 4 else None
        assert (expected or image.getchannel(0)).tobytes() == seen.image.tobytes()


def test_the_ranges_are_those_of_the_values_before_and_after_mean_and_std():
    image = Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255]]] * 2, dtype=np.uint8))
    halves = (0.5,) * 3
    preprocessing = replace(IMAGENET, resize=(2, 2), crop=(2, 2), mean=halves, std=halves)
    seen = seen_image(prepare(image, preprocessing), preprocessing)
    assert (seen.pixels.smallest, seen.pixels.mean, seen.pixels.largest) == (0, 0.5, 1)
    assert (seen.normalised.smallest, seen.normalised.mean, seen.normalised.largest) == (-1, 0, 1)
