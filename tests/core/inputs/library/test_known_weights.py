"""A file's name tells its weights where it is that of a download, and not where it was changed."""

import pytest
import torch
from torchvision.models import ResNet50_Weights

from core.checkpoint import open_checkpoint
from core.inputs.library.known_weights import Told, Weights, weights_of
from tests.core.inputs.opened import Opened

KNOWN = tuple(
    Weights((f"ResNet50_Weights.{name}", name), f"https://x.org/models/resnet50-{digits}.pth")
    for name, digits in (("IMAGENET1K_V1", "0676ba61"), ("IMAGENET1K_V2", "11ad3fa6"))
)


@pytest.mark.parametrize(
    ("name", "number", "certain"),
    [
        ("resnet50-11ad3fa6.pth", 1, True),
        ("resnet50-0676ba61.pth", 0, True),
        ("resnet50-11ad3fa6 (1).pth", 1, True),
        ("resnet50-11ad3fa6(2).pth", 1, True),
        ("resnet50-11ad3fa6 - Copy.pth", 1, True),
        ("ResNet50_Weights.IMAGENET1K_V1.pth", 0, True),
        ("resnet50-11ad3fa6(2).pth.tar", 1, False),
        ("run7_resnet50-11ad3fa6.safetensors", 1, False),
        ("resnet50-11ad3fa6.finetuned.pth", 1, False),
        ("resnet50-11ad3fa6.epoch3.pth", 1, False),
        ("resnet50-11ad3fa6-7classes.pth", 1, False),
        ("resnet50-11ad3fa6_finetuned.pth", 1, False),
        ("finetuned-resnet50-11ad3fa6.pth", 1, False),
        ("my-ResNet50_Weights.IMAGENET1K_V1-cats.pth", 0, False),
    ],
)
def test_only_the_name_of_a_download_is_certain(name, number, certain):
    assert weights_of(Opened(name=name), KNOWN) == Told(number, "by its file name", certain)


@pytest.mark.parametrize("name", ["resnet50-11ad3fa6b.pth", "resnet50.pth", "11ad3fa6.pth"])
def test_another_name_tells_nothing(name):
    assert weights_of(Opened(name=name), KNOWN) is None


@pytest.mark.parametrize(
    "metadata",
    [
        {"hyper_parameters": {"weights": "IMAGENET1K_V1"}},
        {"weights": "ResNet50_Weights.IMAGENET1K_V1"},
        {"url": "https://x.org/models/resnet50-0676ba61.pth"},
        {"args": {"model": "resnet50", "pretrained": "ResNet50_Weights.IMAGENET1K_V1"}},
        {"config": {"model": {"weights": ["IMAGENET1K_V1"]}}},
        {"hparams": '{"weights": "IMAGENET1K_V1"}'},
    ],
)
def test_what_a_file_says_of_the_model_is_where_its_training_may_have_started(metadata):
    assert weights_of(Opened(metadata), KNOWN) == Told(0, "named in the file", False)


@pytest.mark.parametrize(
    "metadata",
    [
        {"args": {"model": "resnet50", "teacher_weights": "IMAGENET1K_V1"}},
        {"teacher": {"weights": "IMAGENET1K_V1"}},
        {"args": {"teacher": {"model": "ResNet50_Weights.IMAGENET1K_V1"}}},
        {"classes": ["IMAGENET1K_V1"], "notes": "ResNet50_Weights.IMAGENET1K_V1"},
    ],
)
def test_the_name_of_other_weights_says_nothing_on_these(metadata):
    assert weights_of(Opened(metadata), KNOWN) is None


def test_a_pickled_entry_of_torchvision_is_known_by_its_address(tmp_path):
    entry = ResNet50_Weights.IMAGENET1K_V1
    known = [Weights((str(each), each.name), each.url) for each in ResNet50_Weights]
    torch.save({"state_dict": {"w": torch.ones(2)}, "weights": entry}, tmp_path / "a.pth")
    told = weights_of(open_checkpoint(tmp_path / "a.pth"), known)
    assert (known[told.number].names[1], told.certain) == ("IMAGENET1K_V1", False)
