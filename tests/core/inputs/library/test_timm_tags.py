"""Every tag of timm's weights is fed what timm's own transform makes of its config."""

import pytest
import timm
import torch
from timm.data import create_transform, resolve_data_config
from timm.models import get_arch_pretrained_cfgs

from core.architectures import Architecture, parse_architecture
from core.inputs import default_preprocessing, prepare, preprocessing_choices
from core.inputs.preprocessing import IMAGENET
from core.inputs.statements import stated_preprocessing
from tests.core.inputs.odd_images import odd_images
from tests.core.inputs.opened import Opened

TAGS = timm.list_pretrained()


def resolved(full):
    return resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(full).to_dict())


def facts(fed):
    return fed.crop, fed.interpolation, fed.mean, fed.std


def assert_fed_as_timm_does(fed, config):
    transform = create_transform(**config, is_training=False)
    for image in odd_images(config["input_size"][-1]):
        assert torch.equal(prepare(image, fed), transform(image))


def test_a_tag_that_the_file_states_is_fed_as_timm_does_for_every_one():
    recipes = {}
    for full in TAGS:
        stated = timm.get_pretrained_cfg(full).to_dict()
        fed = stated_preprocessing({"pretrained_cfg": stated}, IMAGENET)
        config = resolved(full)
        assert not fed.not_understood, full
        assert facts(fed) == (
            config["input_size"][1:],
            *(config[name] for name in ("interpolation", "mean", "std")),
        ), full
        recipes[tuple(config.values())] = fed, config
    assert len(TAGS) > 1_800
    assert len(recipes) > 100


@pytest.mark.slow
def test_every_recipe_of_timms_tags_makes_the_same_pixels():
    recipes = {tuple(resolved(full).values()): full for full in TAGS}
    for full in recipes.values():
        stated = timm.get_pretrained_cfg(full).to_dict()
        fed = stated_preprocessing({"pretrained_cfg": stated}, IMAGENET)
        assert_fed_as_timm_does(fed, resolved(full))


def test_a_tag_in_the_name_of_the_folder_is_that_tag_for_every_one():
    for full in TAGS:
        name = full.partition(".")[0]
        file = Opened(name="model.safetensors", folder=f"hub/models--timm--{full}/snapshots/0a")
        fed = default_preprocessing(Architecture("timm", name), file)
        config = resolved(full)
        assert facts(fed)[0] == config["input_size"][1:], full
        assert (fed.interpolation, fed.mean[0]) == (config["interpolation"], config["mean"][0])
        assert not fed.guessed


@pytest.mark.parametrize(
    "file",
    [
        Opened(name="resnet50.b1k_in1k.safetensors"),
        Opened(name="resnet50.b1k_in1k (1).pth"),
        Opened(name="resnet50_b1k-532a802a.pth"),
        Opened(identity="sha256:532a802a" + "0" * 56),
        Opened(name="model.safetensors", folder="weights/resnet50.b1k_in1k"),
        Opened(configs={"config.json": {"architecture": "resnet50", "tag": "b1k_in1k"}}),
        Opened({"pretrained_cfg": {"architecture": "resnet50", "tag": "b1k_in1k"}}),
        Opened({"pretrained_cfg": '{"tag": "b1k_in1k"}'}),
    ],
)
def test_what_is_around_the_weights_tells_their_tag(file):
    fed = default_preprocessing(Architecture("timm", "resnet50"), file)
    assert fed.source.startswith("timm's data config for resnet50.b1k_in1k, ")
    assert not fed.guessed


@pytest.mark.parametrize(
    ("file", "how"),
    [
        (Opened(name="resnet50.b1k_in1k-cats-finetuned.pth"), "by its file name"),
        (Opened(name="resnet50.b1k_in1k.finetuned.pth"), "by its file name"),
        (Opened(name="finetuned-from-resnet50.b1k_in1k.pth"), "by its file name"),
        (Opened(name="not-resnet50.b1k_in1k.pth"), "by its file name"),
        (Opened(folder="distilled-from-resnet50.b1k_in1k/out"), "by its folder"),
        (Opened(folder="runs/resnet50.b1k_in1k-cats"), "by its folder"),
        (Opened(folder="runs/resnet50.b1k_in1k"), "by its folder"),
        (Opened({"model_name": "timm/resnet50.b1k_in1k"}), "named in the file"),
        (Opened({"args": {"model": "resnet50.b1k_in1k"}}), "named in the file"),
    ],
)
def test_what_may_only_have_started_from_weights_is_a_guess(file, how):
    fed = default_preprocessing(Architecture("timm", "resnet50"), file)
    assert fed.source.startswith(f"guessed: b1k_in1k, {how}, of timm's ")
    assert fed.guessed


def test_a_tag_that_a_person_chose_is_surer_than_a_guess():
    chosen = Architecture("timm", "resnet50", (), "a1_in1k")
    file = Opened(name="not-resnet50.tv_in1k.pth")
    assert default_preprocessing(chosen, file) == default_preprocessing(chosen)


@pytest.mark.parametrize(
    "metadata",
    [
        {"args": {"teacher": "resnet50.b1k_in1k", "model": "resnet50"}},
        {"pretrained_cfg": {"architecture": "resnet18", "tag": "b1k_in1k"}},
    ],
)
def test_weights_of_another_model_say_nothing(metadata):
    source = default_preprocessing(Architecture("timm", "resnet50"), Opened(metadata)).source
    assert source.startswith("guessed: a1_in1k, of timm's ")


def test_a_word_that_is_also_a_tag_tells_nothing_elsewhere():
    file = Opened({"dataset": "b1k_in1k", "notes": ["a2_in1k"]})
    assert default_preprocessing(Architecture("timm", "resnet50"), file).guessed


def test_tags_that_nothing_tells_apart_are_a_guess_and_their_recipes_are_offered():
    choices = preprocessing_choices(Architecture("timm", "resnet50"), Opened())
    assert choices[0].name == "a1_in1k"
    assert choices[0].preprocessing.guessed
    assert "guessed: a1_in1k, of timm's " in choices[0].preprocessing.source
    named = {name for choice in choices for name in (choice.name, *choice.also)}
    heads = {
        full.partition(".")[2]
        for full, config in get_arch_pretrained_cfgs("resnet50").items()
        if config.num_classes == 1000
    }
    assert heads <= named
    recipes = [choice.preprocessing.recipe for choice in choices]
    assert len(recipes) == len(set(recipes))


def test_the_size_of_the_test_is_a_choice():
    choices = preprocessing_choices(Architecture("timm", "resnet50", (), "a1_in1k"))
    tested = next(choice for choice in choices if choice.name == "a1_in1k-test")
    assert tested.preprocessing.crop == tested.preprocessing.resize == (288, 288)
    assert not choices[0].preprocessing.guessed


def test_another_size_of_the_model_is_cropped_by_the_tags_own_share():
    fed = default_preprocessing(parse_architecture("timm:test_vit?img_size=192"))
    config = {**resolved("test_vit.r160_in1k"), "input_size": (3, 192, 192)}
    assert_fed_as_timm_does(fed, config)
