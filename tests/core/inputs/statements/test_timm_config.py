"""What timm's configs and its training script's options state is done as timm does it."""

import argparse

import pytest
import timm
import torch
from timm.data import create_transform, resolve_data_config

from core.architectures import Architecture
from core.checkpoint import open_checkpoint
from core.inputs import default_preprocessing, prepare
from tests.core.inputs.odd_images import odd_images
from tests.core.inputs.opened import Opened

RESNET = Architecture("timm", "resnet50", (), "a1_in1k")
CONFIG = timm.get_pretrained_cfg("resnet50.a1_in1k").to_dict()


def assert_fed_as_timm_does(fed, config):
    transform = create_transform(**config, is_training=False)
    for image in odd_images(config["input_size"][-1]):
        assert torch.equal(prepare(image, fed), transform(image))


@pytest.mark.parametrize(
    "changes",
    [
        {"crop_mode": "squash"},
        {"crop_mode": "border", "crop_pct": 0.8},
        {"crop_mode": "squash", "crop_pct": 1.1},
        {"crop_pct": 1.15},
        {"input_size": (3, 160, 224), "crop_pct": 0.9},
        {"interpolation": "lanczos"},
        {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
        {"fixed_input_size": True, "test_input_size": (3, 320, 320), "test_crop_pct": 1.0},
    ],
)
def test_every_field_of_a_config_is_done(changes):
    config = {**CONFIG, **changes}
    fed = default_preprocessing(RESNET, Opened({"pretrained_cfg": config}))
    assert fed.not_understood == ()
    assert_fed_as_timm_does(fed, resolve_data_config(pretrained_cfg=config))


@pytest.mark.parametrize(
    ("config", "tag", "stated"),
    [
        ({"architecture": "resnet50", "tag": "tv_in1k"}, "tv_in1k", ""),
        ({"tag": "tv_in1k", "mean": (0.5,) * 3, "std": (0.5,) * 3}, "tv_in1k", "mean and std"),
        ({"tag": "a1h_in1k", "input_size": (3, 288, 288)}, "a1h_in1k", "size"),
        ({"tag": "tv_in1k", "crop_pct": 0.9}, "tv_in1k", "size"),
        ({"tag": "tv_in1k", "interpolation": "bicubic"}, "tv_in1k", "interpolation"),
    ],
)
def test_fields_that_a_config_leaves_out_are_those_of_the_tag_that_it_states(config, tag, stated):
    fed = default_preprocessing(
        Architecture("timm", "resnet50"), Opened({"pretrained_cfg": config})
    )
    own = {**timm.get_pretrained_cfg(f"resnet50.{tag}").to_dict(), **config}
    assert_fed_as_timm_does(fed, resolve_data_config(pretrained_cfg=own))
    said = f"; {stated} from the checkpoint's own pretrained_cfg" if stated else ""
    assert fed.source == f"timm's data config for resnet50.{tag}, named in the file{said}"
    assert not fed.guessed


@pytest.mark.parametrize(
    "config", [{}, {"test_input_size": [3, 288, 288], "test_crop_pct": 1.0}, {"mean": None}]
)
def test_a_config_that_states_nothing_on_these_images_is_no_source(config):
    fed = default_preprocessing(
        Architecture("timm", "resnet50"), Opened({"pretrained_cfg": config})
    )
    assert fed == default_preprocessing(Architecture("timm", "resnet50"), Opened())
    assert fed.guessed


def test_without_a_tag_the_rest_is_the_architectures_default_and_a_guess():
    config = {"input_size": (3, 256, 256)}
    fed = default_preprocessing(
        Architecture("timm", "resnet50"), Opened({"pretrained_cfg": config})
    )
    assert_fed_as_timm_does(fed, resolve_data_config(pretrained_cfg={**CONFIG, **config}))
    assert fed.guessed
    assert fed.source.startswith("guessed: a1_in1k, of timm's ")
    assert fed.source.endswith("; size from the checkpoint's own pretrained_cfg")


def test_a_config_from_before_timm_had_crop_modes_crops():
    config = {"input_size": (3, 384, 384), "crop_pct": 0.9}
    squashed = Architecture("timm", "coatnet_rmlp_2_rw_384")
    fed = default_preprocessing(squashed, Opened({"pretrained_cfg": config}))
    assert (fed.resize, fed.crop, fed.fit) == ((426, 426), (384, 384), "cover")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"interpolation": "random"}, "interpolation random"),
        ({"crop_mode": "zoom"}, "crop_mode zoom"),
        ({"crop_pct": -1}, "crop_pct -1"),
        ({"input_size": (3, 10**6, 10**6)}, "input_size (3, 1000000, 1000000)"),
        ({"std": (0, 0, 0)}, "std (0, 0, 0)"),
        ({"border_colour": "white"}, "border_colour white"),
    ],
)
def test_a_field_that_is_not_done_is_named(changes, named):
    fed = default_preprocessing(RESNET, Opened({"pretrained_cfg": {**CONFIG, **changes}}))
    assert named in fed.not_understood


def options(**changes):
    """The options that timm's train.py parses, as far as they are on images."""
    unset = dict.fromkeys(("img_size", "input_size", "crop_pct", "crop_mode", "mean", "std"))
    return {"model": "resnet50", "interpolation": "", "lr": 0.1, "hflip": 0.5, **unset, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"img_size": 192},
        {"input_size": (3, 160, 128), "crop_pct": 0.8},
        {"crop_pct": 1.0},
        {"crop_mode": "squash"},
        {"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]},
        {"interpolation": "bilinear"},
    ],
)
def test_options_of_timms_script_override_the_models_config(tmp_path, changes):
    parsed = argparse.Namespace(**options(**changes))
    torch.save({"state_dict": {"w": torch.ones(2)}, "args": parsed}, tmp_path / "last.pth.tar")
    fed = default_preprocessing(RESNET, open_checkpoint(tmp_path / "last.pth.tar"))
    assert "the checkpoint's own args" in fed.source
    assert fed.not_understood == ()
    config = resolve_data_config(vars(parsed), pretrained_cfg=CONFIG)
    assert_fed_as_timm_does(fed, config)


def test_options_that_state_nothing_on_images_are_no_source():
    fed = default_preprocessing(RESNET, Opened({"args": options()}))
    assert fed.source.startswith("timm's data config for resnet50.a1_in1k")


def test_an_option_that_changes_images_and_is_not_done_is_named():
    stated = options(img_size=192, tf_preprocessing=True, input_img_mode="L")
    fed = default_preprocessing(RESNET, Opened({"args": stated}))
    assert {"tf_preprocessing True", "input_img_mode L"} <= {*fed.not_understood}
