"""What a model is fed is what its own library feeds it, or what the checkpoint states."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torchvision.models import get_model_weights

from core.architectures import Architecture, build_uninitialised, catalogue, parse_architecture
from core.errors import ImageError
from core.inputs import IMAGENET, default_preprocessing, prepare
from core.inputs.channel_count import input_channels
from core.inputs.preprocessing import with_channels
from tests.core.inputs.opened import Opened


def photo(width=320, height=241):
    noise = np.random.default_rng(3).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    return Image.fromarray(noise.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


SIZES = [(320, 241), (241, 320), (40, 30), (224, 224), (1000, 61)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "vit_b_16", "mobilenet_v3_large"])
def test_a_torchvision_model_is_fed_exactly_what_its_weights_transforms_make(name, size):
    image = photo(*size)
    expected = get_model_weights(name).DEFAULT.transforms()(image)
    preprocessing = default_preprocessing(Architecture("torchvision", name))
    assert torch.equal(prepare(image, preprocessing), expected)
    assert get_model_weights(name).DEFAULT.name in preprocessing.source


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "vit_tiny_patch16_224",  # mean and std of 0.5
        "coatnet_rmlp_2_rw_384",  # squash
        "beit3_base_patch16_224",
        "vit_base_patch16_sapiens2",  # not square
        "test_resnet",
    ],
)
def test_a_timm_model_is_fed_what_timms_own_transform_makes(name, size):
    image = photo(*size)
    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    expected = create_transform(**config)(image)
    actual = prepare(image, default_preprocessing(Architecture("timm", name)))
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


def test_timms_padding_models_are_padded_as_timm_does():
    padded = [
        name
        for name in timm.list_models()
        if (config := timm.get_pretrained_cfg(name)) and config.crop_mode == "border"
    ]
    assert padded
    image = photo(300, 200)
    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(padded[0]).to_dict())
    actual = prepare(image, default_preprocessing(Architecture("timm", padded[0])))
    torch.testing.assert_close(actual, create_transform(**config)(image), rtol=0, atol=1e-6)


def test_a_vit_that_takes_one_size_only_is_fed_that_size():
    preprocessing = default_preprocessing(Architecture("torchvision", "vit_h_14"))
    assert preprocessing.crop == (224, 224)
    assert "LINEAR" in preprocessing.source


def test_a_model_of_one_channel_is_fed_grey():
    architecture = Architecture("timm", "resnet18", (("in_chans", 1),))
    preprocessing = default_preprocessing(architecture)
    assert preprocessing.channels == len(preprocessing.mean) == len(preprocessing.std) == 1
    assert prepare(photo(), preprocessing).shape[0] == 1


def test_a_model_of_more_channels_gets_the_colours_repeated():
    preprocessing = with_channels(IMAGENET, 5)
    tensor = prepare(photo(), preprocessing)
    assert tensor.shape == (5, 224, 224)
    assert torch.equal(tensor[3:], tensor[:2])


@pytest.mark.parametrize(
    ("key", "channels"),
    [
        ("torchvision:resnet18", 3),
        ("timm:resnet18", 3),
        ("timm:resnet18?in_chans=4", 4),
        ("timm:samvit_base_patch16?in_chans=1", 1),
    ],
)
def test_the_number_of_channels_is_the_options_or_the_librarys(key, channels):
    assert input_channels(parse_architecture(key)) == channels


@pytest.mark.parametrize(
    "name",
    [
        "visformer_tiny",
        "pit_ti_224",
        "tnt_s_legacy_patch16_224",
        "tresnet_m",
        "samvit_base_patch16",
        "sam2_hiera_tiny",
        "csatv2",
        "naflexvit_base_patch16_gap",
        "volo_d1_224",
    ],
)
def test_a_network_whose_first_tensor_of_four_dimensions_is_no_convolution_takes_pictures(name):
    """It is a table of positions, or a stem that folds the picture's pixels into channels."""
    architecture = Architecture("timm", name)
    image = prepare(photo(), default_preprocessing(architecture))
    assert image.shape[0] == 3
    with torch.inference_mode():
        # On `meta` shapes alone are computed, and it is shapes that would not fit.
        model = build_uninitialised(architecture).to("meta")
        assert model(image[None].to("meta")).shape[0] == 1


OWN = """
import torch
from torch import nn


class Positioned(nn.Module):
    def __init__(self, channels=5):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, 8, 4, 4))
        self.register_buffer("weight", torch.zeros(1, 9, 1, 1))
        self.stem = nn.Conv2d(channels, 8, 4)


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
"""


@pytest.mark.parametrize(("name", "channels"), [("Positioned", 5), ("Flat", 3)])
def test_an_owners_network_takes_the_channels_of_its_first_convolution(
    tmp_path, monkeypatch, name, channels
):
    (tmp_path / "channel_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    (architecture,) = (
        each for each in catalogue(("channel_models",)) if each.name == f"channel_models.{name}"
    )
    assert input_channels(architecture) == channels


SAMPLE = {
    "resize": 64,
    "crop": 64,
    "interpolation": "bilinear",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}


@pytest.mark.parametrize(
    ("entry", "resize", "crop", "interpolation", "mean"),
    [
        (SAMPLE, (64, 64), (64, 64), "bilinear", 0.5),
        (
            {"size": 96, "mean": [0.1] * 3, "std": [1, 1, 1], "interpolation": "box"},
            (96, 96),
            (96, 96),
            "box",
            0.1,
        ),
        (
            {
                **{"input_size": [3, 192, 128], "crop_pct": 0.5, "interpolation": "bicubic"},
                **{"mean": list(IMAGENET.mean), "std": list(IMAGENET.std)},
            },
            (384, 256),
            (192, 128),
            "bicubic",
            0.485,
        ),
        (
            {
                "image_mean": [0.5] * 3,
                "image_std": [0.5] * 3,
                "size": {"shortest_edge": 256},
                "crop_size": {"height": 224, "width": 224},
                "resample": 3,
            },
            (256, 256),
            (224, 224),
            "bicubic",
            0.5,
        ),
        (
            {
                "resize": 256,
                "crop": 224,
                "interpolation": "BILINEAR",
                "mean": [123.675, 116.28, 103.53],
                "std": [58.395, 57.12, 57.375],
            },
            (256, 256),
            (224, 224),
            "bilinear",
            0.485,
        ),
    ],
)
def test_what_a_checkpoint_states_comes_first(entry, resize, crop, interpolation, mean):
    metadata = {"epoch": 3, "hyper_parameters": {"preprocessing": entry}}
    found = default_preprocessing(Architecture("torchvision", "resnet18"), Opened(metadata))
    assert (found.resize, found.crop, found.interpolation) == (resize, crop, interpolation)
    assert found.mean[0] == pytest.approx(mean)
    assert found.source == "the checkpoint's own hyper_parameters.preprocessing"


def test_nobodys_values_are_called_a_guess():
    assert IMAGENET.guessed
    assert IMAGENET.source.startswith("guessed")


def test_a_picture_too_thin_to_resize_is_refused_before_it_fills_the_memory():
    with pytest.raises(ImageError, match="too long and thin"):
        prepare(Image.new("RGB", (400_000, 1)), IMAGENET)


@pytest.mark.parametrize(
    "key", ["timm:test_vit?img_size=192", "torchvision:vit_b_32?image_size=320"]
)
def test_a_model_of_another_image_size_is_fed_that_size(key):
    architecture = parse_architecture(key)
    preprocessing = default_preprocessing(architecture)
    size = architecture.options[0][1]
    model = build_uninitialised(architecture)
    assert model(prepare(photo(), preprocessing)[None]).shape == (1, 1000)
    own = default_preprocessing(Architecture(architecture.library, architecture.name))
    assert preprocessing.crop == (size, size)
    assert own.resize[0] / own.crop[0] == pytest.approx(preprocessing.resize[0] / size, abs=0.01)


@pytest.mark.parametrize(
    "name", ["fasterrcnn_resnet50_fpn", "deeplabv3_resnet50", "r3d_18", "raft_small"]
)
def test_what_is_no_classifier_of_pictures_is_fed_the_usual_values(name):
    preprocessing = default_preprocessing(Architecture("torchvision", name))
    assert preprocessing.guessed
    assert preprocessing.mean == IMAGENET.mean
