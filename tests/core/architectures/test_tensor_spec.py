"""What a signature alone says of a model: which of its weights take the image."""

import pytest
import timm
import torch
from torchvision.models import resnet18

from core.architectures import input_weights
from tests.core.plain_torch import signature_of


@pytest.mark.parametrize(
    ("name", "options", "weights"),
    [
        ("resnet18", {}, {"conv1.weight"}),
        ("resnet18", {"in_chans": 1}, {"conv1.weight"}),
        ("resnet18d", {}, {"conv1.0.weight"}),
        ("vit_tiny_patch16_224", {"in_chans": 12}, {"patch_embed.proj.weight"}),
        ("mobilenetv3_small_050", {"in_chans": 1}, {"conv_stem.weight"}),
        ("repvgg_a0", {}, {"stem.conv_kxk.conv.weight", "stem.conv_1x1.conv.weight"}),
        (
            "crossvit_9_dagger_240",
            {},
            {"patch_embed.0.proj.0.weight", "patch_embed.1.proj.0.weight"},
        ),
        # Blocks of 4 × 4 pixels; and layers of groups of three channels.
        ("tresnet_m", {}, {"body.conv1.conv.weight"}),
        ("dpn92", {}, {"features.conv1_1.conv.weight"}),
    ],
)
def test_the_weights_that_take_the_image(
    name: str, options: dict[str, int], weights: set[str]
) -> None:
    with torch.device("meta"):
        signature = signature_of(timm.create_model(name, **options))
    assert set(input_weights(signature)) == weights


def test_nothing_takes_an_image_without_a_convolution() -> None:
    head = {key: spec for key, spec in signature_of(resnet18()).items() if key.startswith("fc.")}
    assert input_weights(head) == ()
