"""The architecture by the file's own word."""

import pytest

from core.architectures.registry import catalogue
from core.architectures.stated import stated_architecture

KNOWN = catalogue()


@pytest.mark.parametrize(
    ("metadata", "found", "where"),
    [
        ({"epoch": 3, "arch": "resnet18"}, "torchvision:resnet18", "arch"),
        ({"arch": "ResNet18"}, "torchvision:resnet18", "arch"),
        ({"arch": "resnet18d"}, "timm:resnet18d", "arch"),
        ({"arch": "timm/resnet18"}, "timm:resnet18", "arch"),
        ({"model_name": "hf-hub:timm/resnet18.a1_in1k"}, "timm:resnet18", "model_name"),
        ({"arch": "torchvision.models.resnet18"}, "torchvision:resnet18", "arch"),
        (
            {"hyper_parameters": {"model": {"backbone": "mobilenet_v3_small"}}},
            "torchvision:mobilenet_v3_small",
            "hyper_parameters.model.backbone",
        ),
        ({"model": "resnet50", "arch": "resnet18"}, "torchvision:resnet18", "arch"),
    ],
)
def test_a_name_in_the_metadata_is_found(metadata: dict[str, object], found: str, where: str):
    stated = stated_architecture(metadata, KNOWN)
    assert stated is not None
    assert (stated.architecture.key, stated.where) == (found, where)


@pytest.mark.parametrize(
    "metadata", [{}, {"arch": "mynet"}, {"arch": 18}, {"note": "resnet18"}, {"arch": ""}]
)
def test_nothing_is_made_up(metadata: dict[str, object]):
    assert stated_architecture(metadata, KNOWN) is None
