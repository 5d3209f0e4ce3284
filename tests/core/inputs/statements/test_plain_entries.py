"""What a script of one's own states in plain fields is done, or named as not understood."""

import pytest

from core.architectures import Architecture
from core.inputs import default_preprocessing, prepare
from core.inputs.preprocessing import IMAGENET
from tests.core.inputs.odd_images import photo
from tests.core.inputs.opened import Opened

RESNET = Architecture("torchvision", "resnet18")
HALF = (0.5, 0.5, 0.5)


def fed(metadata):
    return default_preprocessing(RESNET, Opened(metadata))


@pytest.mark.parametrize(
    ("mean", "std", "bgr", "shares"),
    [
        ([0.5] * 3, [0.5] * 3, False, (0.5, 0.5)),
        ([0.5], [0.25], False, (0.5, 0.25)),
        (0.5, 0.5, False, (0.5, 0.5)),
        ([0, 0, 0], [1, 1, 1], False, (0, 1)),
        ([0, 0, 0], [255, 255, 255], False, (0, 1)),
        ([127.5] * 3, [127.5] * 3, False, (0.5, 0.5)),
        ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], False, (0.485, 0.229)),
        ([104, 117, 123], [1, 1, 1], True, (104 / 255, 1 / 255)),
        ([103.939, 116.779, 123.68], 1, True, (103.939 / 255, 1 / 255)),
    ],
)
def test_mean_and_std_are_on_the_scale_that_their_values_tell(mean, std, bgr, shares):
    stated = fed({"preprocessing": {"size": 64, "mean": mean, "std": std}})
    assert (stated.mean[0], stated.std[0]) == pytest.approx(shares)
    assert stated.bgr == bgr
    assert stated.not_understood == ()
    assert prepare(photo(80, 70), stated).shape == (3, 64, 64)


@pytest.mark.parametrize(
    "way",
    [
        *("bicubic", "BICUBIC", "InterpolationMode.BICUBIC", "Image.BICUBIC", 3, "3", "cubic"),
        *("PIL.Image.Resampling.BICUBIC", "transforms.InterpolationMode.BICUBIC"),
        {"class": "torchvision.transforms.functional.InterpolationMode", "args": ["bicubic"]},
        {"class": "PIL.Image.Resampling", "args": [3]},
    ],
)
def test_an_interpolation_is_known_by_every_spelling(way):
    stated = fed({"preprocessing": {"size": 64, "interpolation": way}})
    assert stated.interpolation == "bicubic"
    assert stated.not_understood == ()


@pytest.mark.parametrize("way", ["random", "area", "lanczos4", 9, True, "cv2.INTER_AREA"])
def test_another_interpolation_is_named(way):
    stated = fed({"preprocessing": {"size": 64, "interpolation": way}})
    assert stated.not_understood == (f"interpolation {way}",)
    assert stated.interpolation == "bilinear"


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"mean": "imagenet", "std": None}, "mean imagenet"),
        ({"mean": [0.5] * 3, "std": [0.0] * 3}, "std [0.0, 0.0, 0.0]"),
        ({"mean": [0.5] * 3, "std": [0.5] * 2}, "std [0.5, 0.5]"),
        ({"mean": [0.5] * 3}, "mean [0.5, 0.5, 0.5]"),
        ({"mean": ["nan"] * 3, "std": [1] * 3}, "mean ['nan', 'nan', 'nan']"),
        ({"size": 10**9}, "size 1000000000"),
        ({"size": -3}, "size -3"),
        ({"size": 0.5}, "size 0.5"),
        ({"size": 64, "grayscale": True}, "grayscale True"),
        ({"size": 64, "keep_ratio": False}, "keep_ratio False"),
        ({"size": 64, "normalize": "imagenet"}, "normalize imagenet"),
        ({"normalize": {"mean": 0.5, "std": 0.5, "per_image": True}}, "per_image True"),
        ({"size": 64, "crop_mode": "smart"}, "crop_mode smart"),
        ({"size": 64, "channel_order": "hsv"}, "channel_order hsv"),
    ],
)
def test_a_field_that_is_not_done_is_named(entry, named):
    assert named in fed({"preprocessing": entry}).not_understood


def test_normalisation_that_is_switched_off_is_not_done():
    stated = fed({"preprocessing": {"size": 64, "normalize": False}})
    assert (stated.mean, stated.std, stated.not_understood) == ((0,) * 3, (1,) * 3, ())
    nested = fed({"preprocessing": {"size": 64, "normalize": {"mean": 0.25, "std": 0.5}}})
    assert (nested.mean, nested.std) == ((0.25,) * 3, (0.5,) * 3)


def test_a_text_is_named_whatever_it_says():
    assert fed({"preprocessing": "resize to 64"}).not_understood == ("preprocessing resize to 64",)


def test_what_is_named_alone_leaves_the_librarys_recipe_with_its_own_source():
    stated = fed({"preprocessing": {"size": -3}})
    assert stated.source == "torchvision's own recipe for ResNet18_Weights.IMAGENET1K_V1"
    assert stated.crop == (224, 224)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"size": 64, "fit": "squash"}, ((64, 64), (64, 64), "squash")),
        ({"size": 64, "fit": "letterbox"}, ((64, 64), (64, 64), "pad")),
        ({"resize": 72, "crop": 64}, ((72, 72), (64, 64), "cover")),
        ({"crop_size": 64, "crop_pct": 0.875}, ((73, 73), (64, 64), "cover")),
        ({"crop_size": 64, "crop_pct": 1.1}, ((58, 58), (64, 64), "cover")),
    ],
)
def test_a_size_and_the_way_to_it_are_done(entry, expected):
    stated = fed({"preprocessing": entry})
    assert (stated.resize, stated.crop, stated.fit) == expected


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        ({"hyper_parameters": {"image_size": 128, "mean": HALF, "std": HALF}}, "hyper_parameters"),
        (
            {"hyper_parameters": {"config": {"img_size": 128, "mean": HALF, "std": HALF}}},
            "hyper_parameters.config",
        ),
        ({"img_size": 128, "mean": HALF, "std": HALF, "epoch": 3}, "metadata"),
    ],
)
def test_options_of_every_kind_are_read_where_their_names_are_on_images(metadata, place):
    stated = fed(metadata)
    assert (stated.crop, stated.mean) == ((128, 128), HALF)
    assert stated.resize == (146, 146)  # in the proportion of the library's 256 to 224
    assert stated.source == (
        "torchvision's own recipe for ResNet18_Weights.IMAGENET1K_V1; size, mean and std from "
        f"the checkpoint's own {place}"
    )
    assert stated.not_understood == ()


def test_the_options_of_torchvisions_training_script_are_done():
    args = {"val_resize_size": 236, "val_crop_size": 224, "interpolation": "bicubic", "lr": 0.1}
    stated = fed({"args": args})
    assert (stated.resize, stated.crop, stated.interpolation) == ((236, 236), (224, 224), "bicubic")
    assert stated.mean == IMAGENET.mean


def test_options_that_say_nothing_on_images_say_nothing_on_preprocessing():
    stated = fed({"hyper_parameters": {"lr": 0.1, "batch_size": 32, "normalize": True}})
    assert stated == fed({})


def test_options_that_only_images_have_are_done_wherever_they_stand():
    """A script's options as a Namespace has them, with neither timm's nor transformers' other
    fields."""
    options = {"img_size": 288, "crop_pct": 0.95, "crop_mode": "border", "bgr": True, "lr": 0.1}
    stated = fed({"args": options})
    assert (stated.crop, stated.resize, stated.fit) == ((288, 288), (303, 303), "pad")
    assert stated.bgr
    assert stated.not_understood == ()


def test_a_size_beside_image_mean_is_that_of_the_images():
    stated = fed({"image_mean": HALF, "image_std": HALF, "size": 64})
    assert (stated.crop, stated.mean) == ((64, 64), HALF)


def test_of_a_mean_that_cannot_be_read_the_std_is_named_only_if_it_is_there():
    assert fed({"preprocessing": {"mean": "imagenet"}}).not_understood == ("mean imagenet",)
