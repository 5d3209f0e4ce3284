"""A list of transforms that a checkpoint keeps is done step by step, or named."""

import pytest
import torch
from torchvision import transforms as v1
from torchvision.models import ResNet50_Weights
from torchvision.transforms import InterpolationMode, v2

from core.architectures import Architecture
from core.checkpoint import open_checkpoint
from core.inputs import default_preprocessing, prepare
from tests.core.inputs.odd_images import odd_images
from tests.core.inputs.opened import Opened

RESNET = Architecture("torchvision", "resnet18")
MEAN, STD = [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]
NORMALIZE = v1.Normalize(MEAN, STD)


def saved(tmp_path, value, key="transforms"):
    torch.save({"state_dict": {"w": torch.ones(2)}, key: value}, tmp_path / "a.pth")
    return default_preprocessing(RESNET, open_checkpoint(tmp_path / "a.pth"))


@pytest.mark.parametrize(
    "transform",
    [
        v1.Compose([v1.Resize(232), v1.CenterCrop(224), v1.ToTensor(), NORMALIZE]),
        v1.Compose([v1.Resize((64, 48)), v1.ToTensor()]),
        v1.Compose([v1.CenterCrop(101), v1.ToTensor(), NORMALIZE]),
        v1.Compose(
            [
                v1.Resize(160, InterpolationMode.BICUBIC),
                v1.CenterCrop((128, 96)),
                v1.PILToTensor(),
                v1.ConvertImageDtype(torch.float32),
                NORMALIZE,
            ]
        ),
        v2.Compose(
            [
                v2.Resize((64, 64), InterpolationMode.LANCZOS),
                v2.ToTensor(),
                v2.Normalize([0.5], [0.5]),
            ]
        ),
        ResNet50_Weights.IMAGENET1K_V1.transforms(),
    ],
    ids=["usual", "squash", "crop alone", "bicubic", "v2", "preset"],
)
def test_pickled_transforms_are_done_to_the_value(tmp_path, transform):
    fed = saved(tmp_path, transform)
    assert fed.not_understood == ()
    assert fed.source == "the checkpoint's own transforms"
    for image in odd_images():
        torch.testing.assert_close(prepare(image, fed), transform(image), rtol=0, atol=1e-6)


def test_of_several_transforms_those_of_the_evaluation_are_done(tmp_path):
    train = v1.Compose([v1.RandomResizedCrop(224), v1.ToTensor()])
    test = v1.Compose([v1.Resize((96, 96)), v1.ToTensor()])
    both = saved(tmp_path, {"train": train, "val": test})
    assert (both.crop, both.not_understood) == ((96, 96), ())
    assert both.source == "the checkpoint's own transforms.val"
    named = Opened({"train_transforms": [{"type": "Resize", "size": 32}], "val_transforms": [
        {"type": "Resize", "size": [80, 80]}, {"type": "ToTensor"}]})  # fmt: skip
    assert default_preprocessing(RESNET, named).crop == (80, 80)


@pytest.mark.parametrize(
    ("transform", "named"),
    [
        (v1.Compose([v1.RandomResizedCrop(224), v1.ToTensor()]), "step RandomResizedCrop"),
        (v1.Compose([v1.Resize(64), v1.Grayscale(3), v1.ToTensor()]), "step Grayscale"),
        (v1.Compose([v1.Resize(64, max_size=80), v1.ToTensor()]), "max_size 80"),
        (v1.Compose([v1.ToTensor(), NORMALIZE]), "steps without a size"),
        (
            v1.Compose([v1.Resize(64), v1.ToTensor()]),
            "steps without a crop after the shorter edge",
        ),
        (v1.Compose([v1.ToTensor(), v1.Resize((64, 64))]), "Resize of a tensor"),
        (
            v1.Compose([v1.Resize((64, 64)), v1.ToTensor(), NORMALIZE, NORMALIZE]),
            "a second Normalize",
        ),
    ],
)
def test_a_step_that_is_not_done_is_named(tmp_path, transform, named):
    assert named in saved(tmp_path, transform).not_understood


def test_steps_written_as_data_are_done():
    steps = [
        {"name": "Resize", "params": {"size": [64, 64], "interpolation": "BICUBIC"}},
        {"name": "ToTensor"},
        {"name": "Normalize", "params": {"mean": MEAN, "std": STD}},
    ]
    fed = default_preprocessing(RESNET, Opened({"preprocessing": steps}))
    assert (fed.resize, fed.fit, fed.interpolation) == ((64, 64), "squash", "bicubic")
    assert (fed.mean, fed.std) == (tuple(MEAN), tuple(STD))


@pytest.mark.parametrize(
    "steps",
    [
        [
            {"Resize": {"size": [64, 64]}},
            {"ToTensor": {}},
            {"Normalize": {"mean": MEAN, "std": STD}},
        ],
        [{"Resize": [64, 64]}, {"ToTensor": None}, {"Normalize": [MEAN, STD]}],
        {"Resize": {"size": [64, 64]}, "ToTensor": {}, "Normalize": {"mean": MEAN, "std": STD}},
        [{"Resize": [64, 64]}, "ToTensor", {"Normalize": [MEAN, STD]}],
    ],
)
def test_a_step_may_be_written_by_its_name(steps):
    fed = default_preprocessing(RESNET, Opened({"transform": steps}))
    assert (fed.resize, fed.fit, fed.not_understood) == ((64, 64), "squash", ())
    assert (fed.mean, fed.std) == (tuple(MEAN), tuple(STD))


@pytest.mark.parametrize(
    ("step", "named"),
    [
        ("Grayscale", "step Grayscale"),
        ("make it nice", "step make it nice"),
        ({"Rotate": 3}, "step Rotate"),
        ({"Normalize": "imagenet"}, "Normalize arguments imagenet"),
    ],
)
def test_a_step_by_its_name_that_is_not_done_is_named(step, named):
    fed = default_preprocessing(RESNET, Opened({"transform": [{"Resize": [64, 64]}, step]}))
    assert named in fed.not_understood


SIZED = [{"type": "Resize", "size": 256}, {"type": "CenterCrop", "size": 224}]
IMAGENET_STEP = {
    **{"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
}


def steps(*added):
    return default_preprocessing(RESNET, Opened({"val_transforms": [*SIZED, *added]}))


@pytest.mark.parametrize(
    ("added", "mean", "std"),
    [
        ([IMAGENET_STEP], 0.485, 0.229),
        ([{"type": "PILToTensor"}, IMAGENET_STEP], 0.485, 0.229),
        ([{**IMAGENET_STEP, "mean": [123.7] * 3, "std": [58.4] * 3}], 123.7 / 255, 58.4 / 255),
        ([{"type": "ToDtype", "scale": "True"}, IMAGENET_STEP], 0.485, 0.229),
        ([{"type": "ToDtype"}, IMAGENET_STEP], 0.485 / 255, 0.229 / 255),
        ([{"type": "ToTensor"}, {"type": "ToDtype"}, IMAGENET_STEP], 0.485, 0.229),
        ([{"type": "ToTensor"}], 0, 1),
        ([{"type": "PILToTensor"}], 0, 1 / 255),
    ],
)
def test_values_are_on_the_scale_that_the_steps_or_the_numbers_tell(added, mean, std):
    fed = steps(*added)
    assert (fed.mean[0], fed.std[0]) == pytest.approx((mean, std))
    assert fed.not_understood == ()


def test_steps_that_make_no_tensor_leave_its_values_to_the_library_and_say_so():
    fed = steps()
    assert (fed.mean[0], fed.std[0], fed.resize) == (0.485, 0.229, (256, 256))
    assert fed.not_understood == ("steps without one to a tensor",)
    assert "size and interpolation from the checkpoint's own val_transforms" in fed.source


def albumentations(**fields):
    """What A.to_dict() of albumentations' usual transform has, with other fields in Normalize."""
    normalize = {"__class_fullname__": "Normalize", "mean": MEAN, "std": STD, **fields}
    resize = {"__class_fullname__": "Resize", "height": 64, "width": 64, "interpolation": 1}
    inner = [{"p": 1.0, **each} for each in (resize, normalize)]
    whole = {"__class_fullname__": "Compose", "transforms": inner}
    return default_preprocessing(RESNET, Opened({"transform": {"transform": whole}}))


@pytest.mark.parametrize(
    ("fields", "factor"),
    [({}, 1), ({"max_pixel_value": 255.0}, 1), ({"max_pixel_value": 1.0}, 1 / 255)],
)
def test_albumentations_divides_by_its_largest_value_which_is_255_by_default(fields, factor):
    fed = albumentations(**fields)
    assert (fed.mean[0], fed.std[0]) == pytest.approx((MEAN[0] * factor, STD[0] * factor))
    assert fed.not_understood == ("Resize by OpenCV, which does not antialias",)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_pixel_value": "auto"}, "max_pixel_value auto"),
        ({"normalization": "image"}, "Normalize normalization image"),
        ({"p": 0.5}, "Normalize p 0.5"),
    ],
)
def test_what_albumentations_does_besides_is_named(fields, named):
    assert named in albumentations(**fields).not_understood


@pytest.mark.parametrize(
    ("number", "way", "named"),
    [
        (0, "nearest", ()),
        (1, "bilinear", ()),
        (2, "bicubic", ()),
        (3, "bilinear", ("interpolation area",)),
        (4, "bilinear", ("interpolation lanczos4",)),
    ],
)
def test_an_interpolation_of_albumentations_is_opencvs_number(number, way, named):
    resize = {"type": "albumentations.Resize", "height": 64, "width": 64, "interpolation": number}
    fed = default_preprocessing(RESNET, Opened({"transform": [resize, {"type": "ToTensorV2"}]}))
    assert fed.interpolation == way
    assert fed.not_understood == ("Resize by OpenCV, which does not antialias", *named)


@pytest.mark.parametrize(
    ("step", "named"),
    [
        ({"type": "LoadImageFromFile", "color_type": "grayscale"}, "color_type grayscale"),
        ({"type": "LoadImageFromFile", "color_type": "unchanged"}, "color_type unchanged"),
        ({"type": "ToPILImage", "mode": "L"}, "mode L"),
    ],
)
def test_an_argument_that_is_not_done_is_named_with_its_step(step, named):
    fed = steps(step, {"type": "ToTensor"})
    assert fed.not_understood == (f"{step['type']} {named}",)


def test_resizing_by_opencv_is_named():
    """It does not antialias; albumentations' and OpenMMLab's steps use it."""
    steps = {
        "transform": {
            "__class_fullname__": "Compose",
            "transforms": [
                {"__class_fullname__": "Resize", "height": 64, "width": 48},
                {
                    "__class_fullname__": "Normalize",
                    "mean": MEAN,
                    "std": STD,
                    "max_pixel_value": 255,
                },
                {"__class_fullname__": "ToTensorV2"},
            ],
        }
    }
    fed = default_preprocessing(RESNET, Opened(steps))
    assert (fed.crop, fed.mean, fed.fit) == ((64, 48), tuple(MEAN), "squash")
    assert fed.not_understood == ("Resize by OpenCV, which does not antialias",)
