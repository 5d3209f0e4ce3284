"""Every entry of torchvision's weights is fed what its own transforms make."""

import pytest
import torch
from torchvision.models import get_model_weights, inception_v3, list_models

from core.architectures import Architecture
from core.inputs import default_preprocessing, prepare, preprocessing_choices
from core.inputs.library.torchvision_entries import TRANSFORM_INPUT
from tests.core.inputs.odd_images import odd_images
from tests.core.inputs.opened import Opened

ENTRIES = [
    (name, entry)
    for name in list_models()
    for entry in get_model_weights(name)
    if len(getattr(entry.transforms(), "crop_size", ())) == 1
]
V2 = get_model_weights("resnet50").IMAGENET1K_V2


def file_name(entry):
    return entry.url.rpartition("/")[2]


def test_all_of_torchvisions_classifiers_are_here():
    assert len(ENTRIES) >= 129


@pytest.mark.slow
@pytest.mark.parametrize(("name", "entry"), ENTRIES, ids=[str(entry) for _, entry in ENTRIES])
def test_weights_that_their_file_name_tells_are_fed_what_their_transforms_make(name, entry):
    fed = default_preprocessing(Architecture("torchvision", name), Opened(name=file_name(entry)))
    assert not fed.guessed
    assert f"{entry}, by its file name" in fed.source
    recipe = entry.transforms()
    for image in odd_images(recipe.crop_size[0]):
        expected = recipe(image)
        if name in TRANSFORM_INPUT:
            # The weights' own model converts them once more; one that Loupe builds does not.
            own = inception_v3(init_weights=False, transform_input=True)
            expected = own._transform_input(expected[None])[0]
            torch.testing.assert_close(prepare(image, fed), expected, rtol=0, atol=1e-6)
        else:
            assert torch.equal(prepare(image, fed), expected)


def test_several_entries_that_nothing_tells_apart_are_a_guess_and_all_offered():
    choices = preprocessing_choices(Architecture("torchvision", "resnet50"), Opened())
    assert [choice.name for choice in choices] == ["IMAGENET1K_V2", "IMAGENET1K_V1"]
    assert choices[0].preprocessing.guessed
    assert choices[0].preprocessing.source == ("guessed: IMAGENET1K_V2, of torchvision's 2 recipes")
    assert not choices[1].preprocessing.guessed


def test_entries_with_one_recipe_are_one_choice_and_no_guess():
    choices = preprocessing_choices(Architecture("torchvision", "mobilenet_v3_small"))
    assert len(choices) == 1
    assert not choices[0].preprocessing.guessed


@pytest.mark.parametrize(
    "file",
    [
        Opened(name="resnet50-0676ba61.pth"),
        Opened(name="resnet50-0676ba61 (1).pth"),
        Opened(identity="sha256:0676ba61" + "a" * 56),
    ],
)
def test_a_name_or_a_digest_tells_which_weights_they_are(file):
    fed = default_preprocessing(Architecture("torchvision", "resnet50"), file)
    assert fed.resize == (256, 256)
    assert "IMAGENET1K_V1" in fed.source
    assert not fed.guessed


def test_weights_that_the_file_names_are_a_guess_as_a_training_starts_from_them():
    file = Opened({"hyper_parameters": {"weights": "IMAGENET1K_V1"}})
    fed = default_preprocessing(Architecture("torchvision", "resnet50"), file)
    assert (fed.resize, fed.guessed) == ((256, 256), True)
    assert fed.source == ("guessed: IMAGENET1K_V1, named in the file, of torchvision's 2 recipes")


def test_digits_that_are_no_digest_tell_nothing():
    file = Opened(name="resnet50-20240101.pth", identity="file:0676ba61")
    assert default_preprocessing(Architecture("torchvision", "resnet50"), file).guessed


def test_a_fine_tuned_inception_may_convert_its_input_or_not():
    fine_tuned = Architecture("torchvision", "inception_v3", (("num_classes", 7),))
    choices = preprocessing_choices(fine_tuned, Opened())
    assert [choice.name for choice in choices] == [
        "IMAGENET1K_V1-transform_input",
        "IMAGENET1K_V1",
    ]
    assert choices[0].preprocessing.guessed
    assert choices[0].preprocessing.mean == (0.5, 0.5, 0.5)
    assert choices[1].preprocessing.mean == (0.485, 0.456, 0.406)
    whole = default_preprocessing(Architecture("torchvision", "inception_v3"), Opened())
    assert not whole.guessed
