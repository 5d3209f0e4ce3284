"""What a script of one's own states in plain fields is done, or named as not understood."""

from dataclasses import replace

import pytest
import torch
from torchvision import transforms as v1

from core.architectures import Architecture
from core.inputs import default_preprocessing, prepare
from core.inputs.preprocessing import IMAGENET
from tests.core.inputs.odd_images import odd_images, photo
from tests.core.inputs.opened import Opened

RESNET = Architecture("torchvision", "resnet18")
GREY = Architecture("timm", "resnet18", (("in_chans", 1),))
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
        ({"size": 64, "swap_rb": True}, "swap_rb True"),
        ({"size": 64, "bgr": "maybe"}, "bgr maybe"),
        ({"size": 64, "channels": 1}, "channels 1"),
        ({"size": 64, "num_channels": 1}, "num_channels 1"),
        ({"size": 64, "in_chans": 4}, "in_chans 4"),
        ({"size": 64, "mode": "L"}, "mode L"),
        ({"size": 64, "antialias": False}, "antialias False"),
        ({"size": 64, "to_tensor": False, "mean": 0, "std": 1}, "to_tensor False"),
        ({"input_size": [1, 64, 64]}, "input_size [1, 64, 64]"),
        ({"input_size": [64, 64, 1]}, "input_size [64, 64, 1]"),
        ({"input_size": [64, 65, 66]}, "input_size [64, 65, 66]"),
        ({"mean": [0.5] * 3, "std": [255] * 3}, "std [255, 255, 255]"),
        ({"mean": [123.7] * 3, "std": [0.229] * 3}, "std [0.229, 0.229, 0.229]"),
        ({"mean": [0.5] * 3, "norm_mean": [0.4] * 3, "std": 1}, "norm_mean [0.4, 0.4, 0.4]"),
        ({"img_size": 256, "crop_size": 224}, "img_size 256"),
        ({"size": 64, "resize": 72, "crop": 60}, "size 64"),
        ({"resize": 256, "crop": 224, "crop_pct": 1.0}, "crop_pct 1.0"),
        ({"size": 64, "resample": 2, "interpolation": "bicubic"}, "resample 2"),
        ({"size": 64, "fit": "squash", "crop_mode": "center"}, "crop_mode center"),
        ({"normalize": {"mean": 0.5, "std": 0.5}, "mean": 0.4}, "mean 0.4"),
    ],
)
def test_a_field_that_is_not_done_is_named(entry, named):
    assert named in fed({"preprocessing": entry}).not_understood


@pytest.mark.parametrize(
    ("entry", "bgr"),
    [
        *(({"bgr": yes}, True) for yes in (True, 1, "true", "True", "1", "yes")),
        *(({"bgr": no}, False) for no in (False, 0, "false", "0")),
        *(({"to_rgb": no}, True) for no in (False, "False", 0)),
        ({"to_rgb": True}, False),
        ({"channel_order": "BGR"}, True),
        ({"bgr": True, "channel_order": "bgr", "to_rgb": False}, True),
        ({"mean": [104, 117, 123], "std": 1, "channel_order": "rgb"}, False),
    ],
)
def test_the_order_of_the_channels_is_known_by_every_spelling(entry, bgr):
    stated = fed({"preprocessing": {"size": 64, **entry}})
    assert (stated.bgr, stated.not_understood) == (bgr, ())


def test_orders_of_the_channels_that_contradict_each_other_are_all_named():
    stated = fed({"preprocessing": {"size": 64, "bgr": False, "channel_order": "bgr"}})
    assert (stated.bgr, stated.not_understood) == (False, ("bgr False", "channel_order bgr"))


def test_grey_is_what_a_model_of_one_channel_gets():
    entry = {"size": 64, "channels": 1, "grayscale": True, "mode": "L", "input_size": [1, 64, 64]}
    grey = default_preprocessing(GREY, Opened({"preprocessing": entry}))
    assert (grey.channels, grey.not_understood) == (1, ())
    assert (
        "channels 3"
        in default_preprocessing(
            GREY, Opened({"preprocessing": {"size": 64, "channels": 3}})
        ).not_understood
    )


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
        ({"crop_pct": 1.0}, ((224, 224), (224, 224), "cover")),
        ({"input_size": [48, 64, 3]}, ((48, 64), (48, 64), "cover")),
        ({"input_size": [3, 48, 64]}, ((48, 64), (48, 64), "cover")),
        ({"size": {"width": 320, "height": 240}}, ((240, 320), (240, 320), "squash")),
        ({"resize": [72, 64]}, ((72, 64), (72, 64), "squash")),
        ({"resize": [72, 72], "crop": 64}, ((72, 72), (64, 64), "squash")),
        ({"size": [64, 64]}, ((64, 64), (64, 64), "squash")),
        ({"size": [64, 64], "fit": "cover"}, ((64, 64), (64, 64), "cover")),
        ({"resize": [72], "crop": [64, 64]}, ((72, 72), (64, 64), "cover")),
    ],
)
def test_a_size_and_the_way_to_it_are_done(entry, expected):
    stated = fed({"preprocessing": entry})
    assert (stated.resize, stated.crop, stated.fit) == expected
    assert stated.not_understood == ()


def test_a_resize_to_two_numbers_is_torchvisions():
    stated = fed({"preprocessing": {"resize": [72, 64], "normalize": False}})
    transform = v1.Compose([v1.Resize((72, 64)), v1.ToTensor()])
    for image in odd_images():
        assert torch.equal(prepare(image, stated), transform(image))


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


NAMES = ("image", "img", "norm", "pixel", "normalize", "dataset")


@pytest.mark.parametrize("name", NAMES)
def test_mean_and_std_are_known_by_the_names_that_scripts_give_them(name):
    stated = fed({"hparams": {f"{name}_mean": [0.1] * 3, f"{name}_std": [0.2] * 3}})
    assert (stated.mean, stated.std) == ((0.1,) * 3, (0.2,) * 3)
    assert fed({f"{name}_mean": 0.1, f"{name}_std": 0.2}).mean == (0.1,) * 3


@pytest.mark.parametrize(
    "metadata",
    [
        {"hyper_parameters": {"data": {"img_size": 96, "mean": HALF, "std": HALF}}},
        {"config": {"IMG_SIZE": 96, "MEAN": HALF, "STD": HALF}},
        {"config": {"DATA": {"IMG-SIZE": 96, "PIXEL_MEAN": HALF, "PIXEL_STD": HALF}}},
        {"args": {"model": {"image_size": 96}, "datamodule": {"mean": 0.5, "std": 0.5}}},
        {
            "transform": [
                {"Resize": 110},
                {"CenterCrop": 96},
                "ToTensor",
                {"Normalize": [HALF, HALF]},
            ]
        },
    ],
)
def test_options_are_read_in_every_place_where_scripts_keep_them(metadata):
    stated = fed(metadata)
    assert (stated.crop, stated.resize, stated.mean) == ((96, 96), (110, 110), HALF)
    assert stated.not_understood == ()


@pytest.mark.parametrize(
    ("options", "changes", "words"),
    [
        ({"channel_order": "bgr"}, {"bgr": True}, "channel order"),
        ({"bgr": True}, {"bgr": True}, "channel order"),
        ({"interpolation": "bicubic"}, {"interpolation": "bicubic"}, "interpolation"),
        ({"crop_pct": 1.0}, {"resize": (224, 224)}, "size"),
        ({"resize": 300, "crop": 288}, {"resize": (300, 300), "crop": (288, 288)}, "size"),
        ({"crop_mode": "squash"}, {"fit": "squash"}, "size"),
    ],
)
def test_an_option_on_images_that_stands_alone_is_done(options, changes, words):
    usual = fed({})
    for metadata, place in (({"args": {**options, "lr": 0.1}}, "args"), (options, "metadata")):
        source = f"{usual.source}; {words} from the checkpoint's own {place}"
        assert fed(metadata) == replace(usual, source=source, **changes)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"image_size": 64, "normalize": False}, "normalize False"),
        ({"image_size": 64, "grayscale": True}, "grayscale True"),
        ({"grayscale": True}, "grayscale True"),
        ({"normalize": False}, "normalize False"),
        ({"resize": 256}, "resize 256"),
        ({"crop": True}, "crop True"),
        ({"bgr": True, "channel_order": "rgb"}, "channel_order rgb"),
        ({"interpolation": "random"}, "interpolation random"),
        ({"val_resize_size": 256, "val_crop_size": 224, "backend": "tensor"}, "backend tensor"),
    ],
)
def test_an_option_that_is_probably_on_images_and_is_not_done_is_named(options, named):
    assert named in fed({"hyper_parameters": options}).not_understood


def test_what_is_named_among_options_is_named_beside_a_statement_on_a_part():
    stated = fed({"preprocessing": {"size": 64}, "args": {"grayscale": True, "bgr": True}})
    assert (stated.crop, stated.bgr) == ((64, 64), True)
    assert stated.not_understood == ("grayscale True",)


OPEN_CLIP = {
    **{"size": 336, "mode": "RGB", "mean": list(HALF), "std": list(HALF)},
    **{"interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0},
}


@pytest.mark.parametrize("place", [(), ("model_cfg",)])
def test_open_clips_preprocess_cfg_is_done(place):
    entry = {"preprocess_cfg": OPEN_CLIP}
    stated = fed({place[0]: entry} if place else entry)
    assert (stated.crop, stated.fit, stated.interpolation) == ((336, 336), "cover", "bicubic")
    assert (stated.mean, stated.not_understood) == (HALF, ())
    assert stated.source == f"the checkpoint's own {'.'.join((*place, 'preprocess_cfg'))}"


@pytest.mark.parametrize(
    ("changes", "fit", "named"),
    [
        ({"size": [336, 336], "resize_mode": None}, "cover", ()),
        ({"resize_mode": "squash"}, "squash", ()),
        ({"resize_mode": "longest"}, "cover", ("crop_mode longest", "fill_color 0")),
    ],
)
def test_open_clips_ways_of_resizing_are_done_or_named(changes, fit, named):
    entry = {key: each for key, each in {**OPEN_CLIP, **changes}.items() if each is not None}
    stated = fed({"preprocess_cfg": entry})
    assert (stated.fit, stated.not_understood) == (fit, named)
