"""Each mistake gives the tensor that plain torchvision code gives which makes it."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data.transforms import CenterCropOrPad
from torchvision.transforms import v2

from core.inputs import IMAGENET, prepare, with_channels
from core.predict.seen.usual_mistakes import usual_mistakes

HALVES = replace(IMAGENET, mean=(0.5,) * 3, std=(0.5,) * 3)
TO_FLOATS = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]


def photo(width=400, height=267):
    """Blocks of random colours with noise, so that every way to resize gives other pixels."""
    rng = np.random.default_rng(3)
    blocks = (
        rng.integers(0, 200, (height // 20 + 1, width // 20 + 1, 3)).repeat(20, 0).repeat(20, 1)
    )
    noisy = blocks[:height, :width] + rng.integers(0, 55, (height, width, 3))
    return Image.fromarray(noisy.astype(np.uint8))


def mistakes(image, preprocessing):
    right = prepare(image, preprocessing)
    return {
        mistake.name: (mistake, compute())
        for mistake, compute in usual_mistakes(image, right, preprocessing)
    }


def same(tensor, expected):
    """Equal up to the last bits: v2.ToDtype multiplies by 1 / 255 where Loupe and torchvision's
    presets divide by 255."""
    return torch.allclose(tensor, expected, rtol=1e-6, atol=1e-6)


def written(code, scope):
    """What a mistake's line of code stands for."""
    return eval(code, {"v2": v2, "torch": torch, "timm": timm} | scope)


def test_bgr_is_what_opencv_reads():
    image = photo()
    _, tensor = mistakes(image, IMAGENET)["BGR instead of RGB"]
    bgr = Image.fromarray(np.ascontiguousarray(np.asarray(image)[:, :, ::-1]))  # as cv2.imread
    stated = v2.Compose(
        [v2.Resize(256), v2.CenterCrop(224), *TO_FLOATS, v2.Normalize(IMAGENET.mean, IMAGENET.std)]
    )
    assert same(tensor, stated(bgr))


def test_a_model_that_wants_bgr_can_be_fed_rgb():
    wanted, image = replace(IMAGENET, bgr=True), photo()
    mistake, tensor = mistakes(image, wanted)["RGB instead of BGR"]
    assert mistake.preprocessing == IMAGENET
    assert torch.equal(tensor, prepare(image, IMAGENET))
    assert not torch.equal(tensor, prepare(image, wanted))


def test_where_nothing_is_resized_there_is_no_mistake_of_sizes():
    wanted = replace(IMAGENET, fit="keep")
    assert list(mistakes(photo(), wanted)) == [
        "BGR instead of RGB",
        "leaving values at 0–255",
        "leaving out mean/std",
        "mean/std 0.5",
    ]


@pytest.mark.parametrize("wanted", [IMAGENET, HALVES], ids=["imagenet", "halves"])
def test_values_are_scaled_and_normalised_as_the_code_of_the_mistake_does(wanted):
    image = photo()
    found = mistakes(image, wanted)
    sized = [v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor()]
    scale, normalise = v2.ToDtype(torch.float32, scale=True), v2.Normalize(wanted.mean, wanted.std)
    other = "mean/std 0.5" if wanted is IMAGENET else "ImageNet mean/std"
    unchanged = "ImageNet mean/std" if wanted is IMAGENET else "mean/std 0.5"
    assert unchanged not in found
    for name, steps in (
        ("leaving values at 0–255", lambda made: [made, normalise]),
        ("leaving out mean/std", lambda made: [made]),
        (other, lambda made: [scale, made]),
    ):
        mistake, tensor = found[name]
        assert same(tensor, v2.Compose([*sized, *steps(written(mistake.code, {}))])(image))


def test_a_mean_and_std_that_the_model_wants_are_no_mistake():
    wanted = replace(IMAGENET, mean=(0.0,) * 3, std=(1.0,) * 3)
    found = mistakes(photo(), wanted)
    assert "leaving out mean/std" not in found
    assert {"ImageNet mean/std", "mean/std 0.5"} <= set(found)


@pytest.mark.parametrize("size", [(400, 267), (267, 400), (300, 300)])
def test_images_are_resized_as_the_code_of_the_mistake_does(size):
    image = photo(*size)
    found = mistakes(image, IMAGENET)
    names = [
        "squashing instead of cropping",
        "resizing to 224 instead of 256",
        "bicubic instead of bilinear",
        "lanczos instead of bilinear",
        "nearest instead of bilinear",
    ]
    last = [v2.CenterCrop(224), *TO_FLOATS, v2.Normalize(IMAGENET.mean, IMAGENET.std)]
    for name in names:
        mistake, tensor = found[name]
        assert same(tensor, v2.Compose([written(mistake.code, {}), *last])(image)), name
    mistake, tensor = found["bilinear without antialiasing"]
    resized = written(mistake.code, {"image": image})
    after = [v2.CenterCrop(224), v2.ToDtype(torch.float32, scale=True), last[-1]]
    assert same(tensor, v2.Compose(after)(resized))


def test_a_model_that_wants_squashed_images_can_be_fed_cropped_ones():
    image = photo()
    wanted = replace(IMAGENET, fit="squash", resize=(224, 224), interpolation="bicubic")
    found = mistakes(image, wanted)
    last = [*TO_FLOATS, v2.Normalize(IMAGENET.mean, IMAGENET.std)]
    mistake, tensor = found["cropping instead of squashing"]
    assert same(tensor, v2.Compose([written(mistake.code, {}), *last])(image))
    mistake, tensor = found["bilinear without antialiasing"]
    resized = written(mistake.code, {"image": image})
    assert same(tensor, v2.Compose([v2.ToDtype(torch.float32, scale=True), last[-1]])(resized))
    assert not [name for name in found if name.startswith(("squashing", "resizing"))]


def test_a_model_that_wants_padded_images_can_be_fed_cropped_and_squashed_ones():
    image = photo()
    wanted = replace(IMAGENET, fit="pad", resize=(240, 224), crop=(224, 224))
    found = mistakes(image, wanted)
    last = [*TO_FLOATS, v2.Normalize(IMAGENET.mean, IMAGENET.std)]
    for name in ("squashing instead of padding", "cropping instead of padding"):
        mistake, tensor = found[name]
        transform = v2.Compose([written(mistake.code, {}), v2.CenterCrop(224), *last])
        assert same(tensor, transform(image)), name
    fill = tuple(round(255 * value) for value in IMAGENET.mean)
    mistake, tensor = found["bicubic instead of bilinear"]
    padding = v2.Compose([written(mistake.code, {}), CenterCropOrPad((224, 224), fill=fill), *last])
    assert same(tensor, padding(image))
    assert found["mean/std 0.5"][0].preprocessing is None  # its border would have another colour


@pytest.mark.parametrize(
    "wanted",
    [
        IMAGENET,
        HALVES,
        with_channels(IMAGENET, 1),
        with_channels(IMAGENET, 4),
        replace(IMAGENET, fit="squash", resize=(224, 200), crop=(224, 200)),
        replace(IMAGENET, fit="pad", resize=(240, 224)),
        replace(IMAGENET, resize=(256, 240), crop=(240, 224)),
    ],
    ids=["imagenet", "halves", "grey", "four", "squash", "pad", "oblong"],
)
def test_the_preprocessing_of_a_mistake_prepares_the_same_tensor(wanted):
    image = photo()
    right = prepare(image, wanted)
    found = mistakes(image, wanted)
    for mistake, tensor in found.values():
        assert tensor.shape == right.shape
        assert tensor.dtype == right.dtype
        if mistake.preprocessing is not None:
            said = prepare(image, mistake.preprocessing)
            assert torch.allclose(said, tensor, rtol=1e-5, atol=1e-4), mistake.name
    assert ("BGR instead of RGB" in found) == (wanted.channels >= 3)
    expressible = [name for name, (mistake, _) in found.items() if mistake.preprocessing]
    assert len(expressible) >= 4


def test_a_grey_model_is_fed_grey_images_without_antialiasing_too():
    image = photo()
    wanted = with_channels(IMAGENET, 1)
    mistake, tensor = mistakes(image, wanted)["bilinear without antialiasing"]
    resized = written(mistake.code, {"image": image.convert("L")})
    after = [v2.CenterCrop(224), v2.ToDtype(torch.float32, scale=True)]
    normalise = v2.Normalize(wanted.mean, wanted.std)
    assert same(tensor, v2.Compose([*after, normalise])(resized))
