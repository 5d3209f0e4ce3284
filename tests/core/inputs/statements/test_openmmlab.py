"""What OpenMMLab's configs state is done: blue first, means up to 255, the steps of the test."""

import pytest
import torch

from core.architectures import Architecture
from core.checkpoint import open_checkpoint
from core.inputs import default_preprocessing, prepare
from core.inputs.preprocessing import IMAGENET
from tests.core.inputs.odd_images import photo
from tests.core.inputs.opened import Opened

RESNET = Architecture("torchvision", "resnet18")
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

PROJECT = """
data_preprocessor = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], num_classes=1000, to_rgb=True)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=236, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
model = dict(type='ImageClassifier', backbone=dict(type='ResNet', depth=18))
test_dataloader = dict(batch_size=64, dataset=dict(type='ImageNet', pipeline=test_pipeline))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1 * 8), paramwise_cfg=build())
"""
"""A config as mmpretrain 1 writes it into `meta` of its checkpoints."""

OLD = """
img_norm_cfg = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', size=(256, -1), backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='Normalize', **img_norm_cfg),
    dict(type='ImageToTensor', keys=['img']),
    dict(type='Collect', keys=['img']),
]
data = dict(samples_per_gpu=32, test=dict(type='ImageNet', pipeline=test_pipeline))
"""
"""One as mmcls 0 writes it."""


def saved(tmp_path, meta):
    torch.save({"meta": meta, "state_dict": {"w": torch.ones(2)}}, tmp_path / "epoch_100.pth")
    return default_preprocessing(RESNET, open_checkpoint(tmp_path / "epoch_100.pth"))


def test_the_config_in_a_checkpoint_of_mmpretrain_is_done(tmp_path):
    fed = saved(tmp_path, {"cfg": PROJECT, "epoch": 100})
    assert fed.source == "the checkpoint's own meta.cfg"
    assert fed.not_understood == ()
    assert (fed.resize, fed.crop, fed.interpolation) == ((236, 236), (224, 224), "bicubic")
    assert fed.mean == pytest.approx(IMAGENET.mean, abs=1e-4)
    assert not fed.bgr


def test_a_model_that_was_trained_with_blue_first_gets_blue_first(tmp_path):
    fed = saved(tmp_path, {"config": OLD})
    assert (fed.resize, fed.fit, fed.bgr, fed.not_understood) == ((256, 256), "cover", True, ())
    image = photo(300, 240)
    red_green_blue = prepare(image, IMAGENET) * torch.tensor(IMAGENET.std).reshape(3, 1, 1)
    red_green_blue = (red_green_blue + torch.tensor(IMAGENET.mean).reshape(3, 1, 1)) * 255
    mean = torch.tensor([103.53, 116.28, 123.675]).reshape(3, 1, 1)
    expected = red_green_blue.flip(0) - mean
    torch.testing.assert_close(prepare(image, fed), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("entry", "bgr"),
    [
        ({"mean": MEAN, "std": STD, "to_rgb": True}, False),
        ({"mean": MEAN[::-1], "std": STD[::-1], "to_rgb": False}, True),
        ({"mean": MEAN[::-1], "std": STD[::-1]}, True),
        ({"mean": MEAN[::-1], "std": STD[::-1], "to_rgb": "False"}, True),
        ({"type": "ImgDataPreprocessor", "mean": MEAN, "std": STD, "bgr_to_rgb": True}, False),
    ],
)
def test_the_order_of_the_channels_is_done(entry, bgr):
    fed = default_preprocessing(RESNET, Opened({"data_preprocessor": entry}))
    assert fed.bgr == bgr
    assert fed.mean[0] == pytest.approx(0.406 if bgr else 0.485, abs=1e-3)
    assert fed.not_understood == ()


def test_values_that_are_not_normalised_stay_between_0_and_255():
    entry = {"mean": None, "std": None, "to_rgb": True}
    fed = default_preprocessing(RESNET, Opened({"data_preprocessor": entry}))
    assert prepare(photo(224, 224), fed).max() > 200


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (("backend='pillow', ", ""), "ResizeEdge by OpenCV, which does not antialias"),
        (("'CenterCrop'", "'TenCrop'"), "step TenCrop"),
        (("edge='short'", "edge='long'"), "ResizeEdge {'scale': 236, 'edge': 'long'"),
        (("num_classes=1000", "letterbox=True"), "letterbox True"),
        (("to_rgb=True", "to_rgb='maybe'"), "to_rgb maybe"),
        (
            ("'LoadImageFromFile'", "'LoadImageFromFile', color_type='grayscale'"),
            "LoadImageFromFile color_type grayscale",
        ),
    ],
)
def test_what_is_not_done_of_a_config_is_named(tmp_path, changed, named):
    fed = saved(tmp_path, {"cfg": PROJECT.replace(*changed)})
    assert any(each.startswith(named) for each in fed.not_understood), fed.not_understood


def test_a_config_is_read_and_never_run(tmp_path):
    mark = tmp_path / "ran"
    run = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    fed = saved(tmp_path, {"cfg": f"{run}\nevil = {run}\n{PROJECT}lost = dict(a={run})\n"})
    assert fed.crop == (224, 224)
    assert fed.source == "the checkpoint's own meta.cfg"
    assert not mark.exists()


@pytest.mark.parametrize("broken", ["data_preprocessor = dict(", "test_pipeline = " + "[" * 9000])
def test_a_config_that_is_no_python_is_named(tmp_path, broken):
    assert saved(tmp_path, {"cfg": broken}).not_understood == ("meta.cfg is no Python",)
