"""Of several statements the surer one decides; where they are from is said as it is."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from core.architectures import Architecture
from core.checkpoint import open_checkpoint
from core.inputs import default_preprocessing, prepare
from tests.core.inputs.odd_images import photo
from tests.core.inputs.opened import Opened

RESNET = Architecture("torchvision", "resnet18")
OWN = {"size": 64, "interpolation": "bicubic", "mean": [0.1] * 3, "std": [0.2] * 3}
PROCESSOR = {
    **{"image_processor_type": "ViTImageProcessor", "do_resize": True, "resample": 2},
    **{"size": {"height": 96, "width": 96}, "do_normalize": False},
}


def test_the_metadata_of_safetensors_is_read_as_json(tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors", {"preprocessing": json.dumps(OWN)})
    fed = default_preprocessing(RESNET, open_checkpoint(tmp_path / "a.safetensors"))
    assert (fed.crop, fed.interpolation, fed.mean) == ((64, 64), "bicubic", (0.1,) * 3)
    assert fed.source == "the checkpoint's own __metadata__.preprocessing"


def test_a_statement_beside_the_file_counts_after_one_in_it():
    configs = {"preprocessor_config.json": PROCESSOR}
    fed = default_preprocessing(RESNET, Opened({"preprocessing": OWN}, configs=configs))
    assert (fed.crop, fed.source) == ((64, 64), "the checkpoint's own preprocessing")
    fed = default_preprocessing(RESNET, Opened(configs=configs))
    assert (fed.crop, fed.source) == ((96, 96), "preprocessor_config.json beside the file")
    part = {"preprocessing": {"mean": [0.1] * 3, "std": [0.2] * 3}}
    fed = default_preprocessing(RESNET, Opened(part, configs=configs))
    assert (fed.crop, fed.mean) == ((96, 96), (0.1,) * 3)
    assert fed.source == (
        "preprocessor_config.json beside the file and the checkpoint's own preprocessing"
    )


def test_timms_config_beside_the_file_is_read():
    config = {
        "architecture": "resnet50",
        "pretrained_cfg": {"input_size": [3, 160, 160], "crop_mode": "squash", "crop_pct": 1.0},
    }
    fed = default_preprocessing(RESNET, Opened(configs={"config.json": config}))
    assert (fed.crop, fed.fit) == ((160, 160), "squash")
    assert fed.source == (
        "torchvision's own recipe for ResNet18_Weights.IMAGENET1K_V1; "
        "size from config.json.pretrained_cfg beside the file"
    )


def test_timms_older_config_beside_the_file_which_has_all_at_its_top_is_read():
    whole = timm.get_pretrained_cfg("resnet50.tv_in1k").to_dict()
    config = {"architecture": "resnet50", "num_classes": 1000, **whole, "crop_pct": 0.9}
    fed = default_preprocessing(RESNET, Opened(configs={"config.json": config}))
    assert (fed.resize, fed.crop, fed.interpolation) == ((248, 248), (224, 224), "bilinear")
    assert (fed.source, fed.not_understood) == ("config.json beside the file", ())


def test_a_preprocessor_config_without_a_class_is_read_for_what_it_states():
    config = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": 96}
    fed = default_preprocessing(RESNET, Opened(configs={"preprocessor_config.json": config}))
    assert (fed.crop, fed.mean, fed.std) == ((96, 96), (0.5,) * 3, (0.25,) * 3)
    assert fed.source.endswith("; size, mean and std from preprocessor_config.json beside the file")


def test_a_configuration_that_cannot_be_read_is_named():
    fed = default_preprocessing(RESNET, Opened(configs={"preprocessor_config.json": None}))
    assert fed.not_understood == ("preprocessor_config.json cannot be read",)
    assert fed.source.startswith("torchvision's own recipe")


HOSTILE = (
    *(10**400, -(10**400), 1e308, 5e-324, 0, -1, True, None, "", "nan", "…", [], {}, [[]], [None]),
    *({"height": 1}, {"args": []}, "{" * 50, "[" * 50, '{"a":' * 400 + "1" + "}" * 400, [1] * 64),
)


@pytest.mark.parametrize("name", ["preprocessing", "pretrained_cfg", "data_preprocessor", "args"])
def test_whatever_is_stated_ends_in_a_preprocessing_that_can_be_done(name):
    image = photo(40, 30)
    fields = (
        *("size", "crop_pct", "mean", "std", "input_size", "interpolation", "crop_mode", "resize"),
        *("image_mean", "image_std", "rescale_factor", "crop_size", "image_processor_type"),
        *("do_resize", "do_normalize", "do_center_crop", "normalize", "transforms", "to_rgb"),
    )
    for field in fields:
        for value in HOSTILE:
            entry = {"img_size": 32, "size": 32, "mean": 0.5, "std": 0.5, field: value}
            for stated in ({name: entry}, {name: json.dumps(entry)}):
                fed = default_preprocessing(RESNET, Opened(stated))
                assert prepare(image, fed).isfinite().all(), (field, value)


@pytest.mark.parametrize("key", ["train_transforms", "training_transforms"])
def test_the_images_of_the_training_say_nothing_on_those_of_a_prediction(key):
    fed = default_preprocessing(RESNET, Opened({key: OWN}))
    assert fed == default_preprocessing(RESNET, Opened())


def test_a_guess_stays_one_where_the_file_states_a_part():
    resnet50 = Architecture("torchvision", "resnet50")
    part = {"preprocessing": {"mean": [0.1] * 3, "std": [0.2] * 3}}
    fed = default_preprocessing(resnet50, Opened(part))
    assert fed.guessed
    assert fed.source == (
        "guessed: IMAGENET1K_V2, of torchvision's 2 recipes; mean and std "
        "from the checkpoint's own preprocessing"
    )
    assert not default_preprocessing(resnet50, Opened({"preprocessing": OWN})).guessed
