"""A file that is a deeper, shallower, wider or narrower network than any known one."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.models import resnet18
from torchvision.models.resnet import Bottleneck, ResNet

from core.architectures import Architecture, signature
from core.fit.identify.relatives import relative_sentence
from core.fit.index import Lookup
from tests.core.fit.identify.files import told


def vit(**sizes: int) -> nn.Module:
    with torch.device("meta"):
        return VisionTransformer(
            **{"embed_dim": 192, "depth": 12, "num_heads": 3, **sizes}, num_classes=10
        )


def without_its_last_stage(features: int) -> nn.Module:
    model = resnet18()
    del model.layer4
    model.fc = nn.Linear(features, 1000)
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: vit(depth=15), "deeper (15 in `blocks`, not 12)"),
        (lambda: vit(depth=9), "shallower (9 in `blocks`, not 12)"),
        (lambda: ResNet(Bottleneck, [3, 4, 9, 3]), "deeper (9 in `layer3`, not 6)"),
        (lambda: without_its_last_stage(256), "shallower (without `layer4`)"),
    ],
)
def test_another_depth_is_told_as_such(
    lookup: Lookup, tmp_path: Path, model: Callable[[], nn.Module], words: str
) -> None:
    weights = {key: torch.empty(value.shape) for key, value in model().state_dict().items()}
    found = told(lookup, tmp_path / "a.pth", weights)
    assert not found.candidates[0].fits
    assert "This is" not in found.sentence
    assert f"The file is a {words}" in found.sentence


def test_a_stage_whose_features_the_head_takes_is_lost_and_makes_no_other_depth(
    lookup: Lookup, tmp_path: Path
) -> None:
    weights = without_its_last_stage(512).state_dict()
    found = told(lookup, tmp_path / "a.pth", weights)
    assert "30 keys are missing" in found.sentence
    assert "family" not in found.sentence


def test_another_width_is_told_as_such() -> None:
    tiny, small = (
        signature(Architecture("timm", f"vit_{size}_patch16_224")) for size in ("tiny", "small")
    )
    said = relative_sentence({key: spec.shape for key, spec in small.items()}, tiny)
    assert said.startswith("The file is a wider (384 in `cls_token`, not 192) network")
    said = relative_sentence({key: spec.shape for key, spec in tiny.items()}, small)
    assert said.startswith("The file is a narrower (192 in `cls_token`, not 384) network")


def with_a_stem_of(channels: int) -> nn.Module:
    model = resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(3, channels, 7, bias=False)
    model.bn1 = nn.BatchNorm2d(channels)
    model.layer1[0].conv1 = nn.Conv2d(channels, 64, 3, bias=False)
    return model


def with_one_inner_width_of(channels: int) -> nn.Module:
    model = resnet18(num_classes=10)
    block = model.layer3[1]
    block.conv1, block.bn1 = nn.Conv2d(256, channels, 3, bias=False), nn.BatchNorm2d(channels)
    block.conv2 = nn.Conv2d(channels, 256, 3, bias=False)
    return model


def with_multi_query_attention() -> nn.Module:
    model = vit()
    for block in model.blocks:
        block.attn.qkv = nn.Linear(192, 192 + 2 * 64)
    return model


@pytest.mark.parametrize(
    "build",
    [
        lambda: with_a_stem_of(48),
        lambda: with_one_inner_width_of(300),
        with_multi_query_attention,
    ],
    ids=["stem", "one_inner_width", "multi_query"],
)
def test_a_few_layers_of_another_width_make_no_network_of_another_width(
    lookup: Lookup, tmp_path: Path, build: Callable[[], nn.Module]
) -> None:
    weights = {key: torch.empty(value.shape) for key, value in build().state_dict().items()}
    found = told(lookup, tmp_path / "a.pth", weights)
    assert "have another shape" in found.sentence
    assert "family" not in found.sentence


@pytest.mark.parametrize("lost", ["blocks.5.", "blocks.0.", "layer2.", "layer3.0."])
def test_blocks_lost_from_the_midst_make_no_shallower_network(
    lookup: Lookup, tmp_path: Path, lost: str
) -> None:
    model = vit() if "blocks" in lost else resnet18()
    weights = {
        key: torch.empty(value.shape)
        for key, value in model.state_dict().items()
        if not key.startswith(lost)
    }
    found = told(lookup, tmp_path / "a.pth", weights)
    assert "missing" in found.sentence
    assert "family" not in found.sentence


def test_a_known_network_with_another_head_is_of_no_other_size(
    lookup: Lookup, tmp_path: Path
) -> None:
    weights = timm.create_model("resnet18", num_classes=12).state_dict()
    weights["fc.bias"] = torch.zeros(13)
    found = told(lookup, tmp_path / "a.pth", weights)
    assert not found.candidates[0].fits
    assert "family" not in found.sentence
