"""What a transformers image processor states is done, or named as not understood."""

import importlib
import json
import pkgutil
from dataclasses import replace

import pytest
import torch
import transformers.models
from transformers.image_processing_backends import TorchvisionBackend

from core.inputs import prepare, stated_preprocessing
from core.inputs.preprocessing import IMAGENET
from core.inputs.statements.processor_defaults import DEFAULTS
from tests.core.inputs.odd_images import odd_images


def processor_classes():
    """Every image processor of the installed transformers that can be built without arguments."""
    found = {}
    for module in pkgutil.iter_modules(transformers.models.__path__):
        name = f"transformers.models.{module.name}.image_processing_{module.name}"
        try:
            code = importlib.import_module(name)
        except ImportError:
            continue
        for each in vars(code).values():
            if isinstance(each, type) and issubclass(each, TorchvisionBackend):
                found[each.__name__] = each
    del found["TorchvisionBackend"]
    return found


PROCESSORS = processor_classes()


def read(stated):
    written = json.loads(json.dumps(stated, default=str))
    return stated_preprocessing({"preprocessor_config": written}, IMAGENET)


def assert_fed_alike(fed, processor):
    for image in odd_images():
        expected = processor(image, return_tensors="pt")["pixel_values"][0].float()
        torch.testing.assert_close(prepare(image, fed), expected, rtol=1e-5, atol=1e-5)


UNDERSTOOD = [
    f"{name}ImageProcessor"
    for name in (
        *("Beit", "Bit", "Blip", "CLIP", "ChineseCLIP", "ConvNext", "DPT", "DeiT", "EfficientNet"),
        *("Flava", "Levit", "Llava", "MobileNetV1", "MobileNetV2", "MobileViT", "OwlViT"),
        *("PoolFormer", "Pvt", "RTDetr", "Sam2", "Sam3", "Sapiens2", "SegGpt", "Segformer"),
        *("Siglip", "Tipsv2", "ViT"),
    )
]


@pytest.mark.slow
@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_processor_of_images_is_done_to_the_value(name):
    processor = PROCESSORS[name]()
    fed = read(processor.to_dict())
    assert fed.not_understood == ()
    assert fed.source == "the checkpoint's own preprocessor_config"
    assert_fed_alike(fed, processor)


@pytest.mark.parametrize("kind", sorted(DEFAULTS))
def test_a_field_that_is_left_out_is_what_its_class_does(kind):
    whole = PROCESSORS[f"{kind}ImageProcessor"]().to_dict()
    assert read({"image_processor_type": f"{kind}ImageProcessor"}) == read(whole)
    for name in {*whole} & {*DEFAULTS[kind]}:
        assert read({key: each for key, each in whole.items() if key != name}) == read(whole), name


def test_what_an_unknown_class_leaves_out_is_named_and_as_in_the_library():
    stated = {
        **{"image_processor_type": "MyImageProcessor", "size": {"height": 64, "width": 64}},
        **{"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "crop_size": 56},
    }
    fed = stated_preprocessing(
        {"image_processor": stated}, replace(IMAGENET, interpolation="bicubic")
    )
    assert (fed.resize, fed.crop, fed.fit) == ((64, 64), (56, 56), "squash")
    assert (fed.interpolation, fed.mean[0], fed.std[0]) == ("bicubic", 0.5, 0.25)
    assert fed.guessed
    assert fed.not_understood == (
        "image_processor_type MyImageProcessor",
        "resample is left out",
        "do_normalize is left out",
        "do_center_crop is left out",
    )
    bare = read({"image_processor_type": "MyImageProcessor", "size": 64})
    assert (bare.mean, bare.std) == (IMAGENET.mean, IMAGENET.std)
    assert "do_normalize is left out" in bare.not_understood


@pytest.mark.parametrize("name", sorted({*PROCESSORS} - {*UNDERSTOOD}))
def test_every_other_processor_is_named_as_not_understood(name):
    try:
        processor = PROCESSORS[name]()
    except (ImportError, TypeError, OSError):
        pytest.skip("needs what is not installed")
    assert read(processor.to_dict()).not_understood


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ViT", {"do_normalize": False}),
        ("ViT", {"do_rescale": False}),
        ("ViT", {"do_rescale": False, "do_normalize": False}),
        ("ViT", {"rescale_factor": 1 / 127.5}),
        ("ViT", {"resample": 0}),
        ("ViT", {"size": {"height": 192, "width": 160}}),
        ("ViT", {"do_resize": False, "do_center_crop": True, "crop_size": 96}),
        ("CLIP", {"size": {"shortest_edge": 301}}),
        ("CLIP", {"crop_size": {"height": 257, "width": 190}}),
        ("CLIP", {"size": {"shortest_edge": 100}}),
        ("MobileViT", {"do_flip_channel_order": False}),
        ("ConvNext", {"size": {"shortest_edge": 224}}),
        ("ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.95}),
        ("PoolFormer", {"crop_pct": 0.95}),
        ("PoolFormer", {"size": {"height": 224, "width": 224}}),
        ("Levit", {"size": {"shortest_edge": 192}, "crop_size": 192}),
        ("EfficientNet", {"include_top": False}),
        ("EfficientNet", {"rescale_factor": 1 / 127.5, "rescale_offset": True}),
        ("DeiT", {"size": {"shortest_edge": 256}}),
    ],
)
def test_what_a_processor_changes_is_done_too(name, changes):
    processor = PROCESSORS[f"{name}ImageProcessor"](**changes)
    fed = read(processor.to_dict())
    assert fed.not_understood == ()
    assert_fed_alike(fed, processor)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image_processor_type": "MyImageProcessor"}, "image_processor_type MyImageProcessor"),
        ({"image_processor_type": None}, "image_processor_type none"),
        ({"size": {"longest_edge": 512}}, "size {'longest_edge': 512}"),
        ({"size": {"shortest_edge": 256}}, "do_center_crop False"),
        ({"size": {"shortest_edge": 256, "longest_edge": 512}}, "size {'shortest_edge': 256, "),
        ({"size": 10**9}, "size 1000000000"),
        ({"resample": 1}, "resample lanczos on a tensor"),
        ({"resample": 77}, "resample 77"),
        ({"resample": None}, "resample None"),
        ({"do_resize": False}, "do_resize False"),
        ({"do_pad": True, "pad_size": {"height": 256, "width": 256}}, "do_pad True"),
        ({"image_std": [0, 0, 0]}, "image_std [0, 0, 0]"),
        ({"rescale_factor": 0}, "rescale_factor 0"),
        ({"do_solarize": True}, "do_solarize True"),
    ],
)
def test_a_field_that_is_not_done_is_named(changes, named):
    stated = {**PROCESSORS["ViTImageProcessor"]().to_dict(), **changes}
    told = read(stated).not_understood
    assert any(each.startswith(named) for each in told), told


@pytest.mark.parametrize(
    ("name", "size", "fit"),
    [("ViTFeatureExtractor", 224, "squash"), ("CLIPFeatureExtractor", 224, "cover")],
)
def test_a_size_of_one_number_means_what_it_meant_to_its_class(name, size, fit):
    stated = {
        "feature_extractor_type": name,
        **{"do_resize": True, "size": size, "do_normalize": True, "resample": 3},
        **{"image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        **({"do_center_crop": True, "crop_size": size} if fit == "cover" else {}),
    }
    fed = read(stated)
    assert (fed.fit, fed.resize, fed.not_understood) == (fit, (size, size), ())
