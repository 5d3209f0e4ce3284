"""Detectors and segmentation models are fed whole images, as torchvision's own recipes do it."""

import pytest
import torch
from torchvision.models import detection as detectors
from torchvision.models import get_model_weights, list_models
from torchvision.models import segmentation as segmenters

from core.architectures import Architecture
from core.inputs import preprocessing_choices
from core.predict.fed import fed_words
from core.predict.whole_image import image_choices, prepare_image
from tests.core.inputs.odd_images import odd_images
from tests.core.inputs.opened import Opened


@pytest.mark.parametrize("name", [*list_models(detectors), *list_models(segmenters)])
def test_what_is_fed_is_bit_for_bit_what_torchvisions_recipe_makes(name):
    recipe = get_model_weights(name).DEFAULT.transforms()
    preprocessing = image_choices(Architecture("torchvision", name))[0].preprocessing
    assert not preprocessing.guessed
    for image in odd_images():
        assert torch.equal(prepare_image(image, preprocessing), recipe(image))


def test_other_models_are_offered_what_they_were():
    architecture = Architecture("torchvision", "resnet50")
    assert image_choices(architecture) == preprocessing_choices(architecture)


def test_a_detector_that_normalises_itself_is_not_fed_the_mean_that_its_file_states():
    stated = Opened({"preprocessing": {"mean": [0.5] * 3, "std": [0.5] * 3, "size": 64}})
    own, other = image_choices(Architecture("torchvision", "fcos_resnet50_fpn"), stated)
    assert (own.preprocessing.mean, own.preprocessing.std) == ((0.0,) * 3, (1.0,) * 3)
    assert other.name == "checkpoint"
    names = [
        each.name for each in image_choices(Architecture("torchvision", "fcn_resnet50"), stated)
    ]
    assert names == ["segmentation", "checkpoint"]


def test_the_words_say_that_images_are_whole():
    detector, segmenter = (
        image_choices(Architecture("torchvision", name))[0].preprocessing
        for name in ("fcos_resnet50_fpn", "fcn_resnet50")
    )
    assert fed_words(detector) == "whole images, not resized, values from 0 to 1"
    assert fed_words(segmenter) == (
        "whole images, the shorter edge resized to 520\u202fpx, bilinear, ImageNet mean/std"
    )
