"""Tensors under other names find their places, and the network that they fill is the same."""

from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import get_model

from tests.core.fit.align.models import filled, missing, output, saved, varied

pytestmark = pytest.mark.slow

SAME = [
    ("vit_base_patch16_224", "vit_b_16", 224, {}),
    ("convnext_tiny", "convnext_tiny", 32, {}),
    ("efficientnet_b0", "efficientnet_b0", 32, {}),
    ("swin_tiny_patch4_window7_224", "swin_t", 224, {}),
    ("regnety_004", "regnet_y_400mf", 32, {}),
    ("regnetx_004_tv", "regnet_x_400mf", 32, {}),
    ("resnet18", "resnet18", 32, {}),
    ("densenet121", "densenet121", 32, {}),
    ("mobilenetv2_100", "mobilenet_v2", 32, {}),
    # timm's epsilon is 1e-5, torchvision's 1e-3; timm's `tf_` variants have that, and other padding
    ("mobilenetv3_small_100", "mobilenet_v3_small", 32, {"bn_eps": 1e-3}),
    ("efficientnetv2_s", "efficientnet_v2_s", 32, {"bn_eps": 1e-3}),
    ("mnasnet_100", "mnasnet1_0", 32, {}),
    ("inception_v3", "inception_v3", 96, {}),
]
"""The same network in timm and torchvision, an image's side, and what timm must be told for it.

Not the same are VGG, whose first linear layer timm keeps as a 7 × 7 convolution; timm's
regnetx_004, of other widths; Swin V2 and MaxViT, whose attention has other tensors.
GoogLeNet is not in timm.
"""


@pytest.mark.parametrize(("in_timm", "in_torchvision", "size", "options"), SAME)
def test_timms_weights_and_torchvisions_fill_each_others_network(
    tmp_path: Path, in_timm: str, in_torchvision: str, size: int, options: dict[str, float]
) -> None:
    own = {"init_weights": False} if in_torchvision == "inception_v3" else {}
    torch.manual_seed(0)
    timms = varied(timm.create_model(in_timm, **options), 0)
    torchvisions = varied(get_model(in_torchvision, **own), 1)

    before = {key: tensor.clone() for key, tensor in torchvisions.state_dict().items()}
    answers = output(timms, size), output(torchvisions, size)
    assert not torch.allclose(*answers, rtol=0, atol=1e-2)
    for target, tensors, expected in (
        (torchvisions, timms.state_dict(), answers[0]),
        (timms, before, answers[1]),
    ):
        found = filled(target, saved(tmp_path, tensors))
        torch.testing.assert_close(output(target, size), expected, rtol=1e-4, atol=1e-4)
        assert not found.ambiguous
        left = missing(found, target.state_dict())
        assert {key.rpartition(".")[2] for key in left if "Aux" not in key} <= {
            "relative_position_index"
        }


def test_a_network_deep_within_wrappers_is_aligned(tmp_path: Path) -> None:
    model = varied(get_model("resnet18", num_classes=7))
    path = "".join(f"wrapped{letter}." for letter in "abcdefghijklmnopq")
    tensors = {
        path + key.replace("layer", "step"): value for key, value in model.state_dict().items()
    }
    target = varied(get_model("resnet18", num_classes=7), seed=1)
    found = filled(target, saved(tmp_path, tensors))
    torch.testing.assert_close(output(target, 64), output(model, 64))
    assert not missing(found, target.state_dict())
