"""A file's name tells its weights where it is that of a download, and not where it was changed."""

import pytest

from core.inputs.library.known_weights import Weights, weights_of
from tests.core.inputs.opened import Opened

KNOWN = (
    Weights(("ResNet50_Weights.IMAGENET1K_V1",), "https://x.org/models/resnet50-0676ba61.pth"),
    Weights(("ResNet50_Weights.IMAGENET1K_V2",), "https://x.org/models/resnet50-11ad3fa6.pth"),
)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("resnet50-11ad3fa6.pth", 1),
        ("resnet50-0676ba61.pth", 0),
        ("resnet50-11ad3fa6 (1).pth", 1),
        ("resnet50-11ad3fa6(2).pth.tar", 1),
        ("run7_resnet50-11ad3fa6.safetensors", 1),
        ("resnet50-11ad3fa6-7classes.pth", None),
        ("resnet50-11ad3fa6_finetuned.pth", None),
        ("resnet50-11ad3fa6b.pth", None),
        ("resnet50.pth", None),
    ],
)
def test_the_name_of_a_download_tells_the_weights(name, number):
    found = weights_of(Opened(name=name), KNOWN)
    assert found == (None if number is None else (number, "by its file name"))
