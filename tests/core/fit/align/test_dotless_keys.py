"""A network whose keys have no dots is aligned as it would be with them."""

import re
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet18

from core.fixes import RenameTable
from tests.core.fit.align.models import filled, missing, output, saved, varied


def own_name(key: str) -> str:
    """torchvision's ResNet in somebody's own words, joined by underscores."""
    key = re.sub(r"layer(\d)\.(\d)\.", r"net.stage\1.block\2.", key)
    key = re.sub(r"(conv|bn)(\d)", lambda found: f"{found[1]}_{'_abc'[int(found[2])]}", key)
    key = key.replace("downsample.0", "short.conv").replace("downsample.1", "short.norm")
    return key.replace(".", "_")


def test_a_resnet_whose_parts_are_joined_by_underscores_is_the_same_network(
    tmp_path: Path,
) -> None:
    model = varied(resnet18(num_classes=7))
    tensors = {own_name(key): value for key, value in model.state_dict().items()}
    assert not any("." in key for key in tensors)
    target = varied(resnet18(num_classes=7), seed=1)
    found = filled(target, saved(tmp_path, tensors))
    torch.testing.assert_close(output(target, 64), output(model, 64))
    assert {pair.key for pair in found.pairs} <= set(tensors)
    assert not missing(found, target.state_dict())
    assert [type(step.fix) for step in found.recipe.steps] == [RenameTable]


@pytest.mark.parametrize("joint", ["_", "/"])
def test_three_projections_without_dots_are_fused_block_by_block(
    tmp_path: Path, joint: str
) -> None:
    model = varied(timm.create_model("test_vit", num_classes=4))
    tensors = {}
    for key, value in model.state_dict().items():
        found = re.fullmatch(r"(blocks\.\d+\.attn)\.qkv\.(\w+)", key)
        parts = zip("qkv", value.chunk(3), strict=True) if found else ()
        tensors |= {f"{found[1]}.{name}.{found[2]}": part for name, part in parts if found}
        if not found:
            tensors[key] = value
    file = saved(tmp_path, {key.replace(".", joint): value for key, value in tensors.items()})
    target = varied(timm.create_model("test_vit", num_classes=4), seed=1)
    filled(target, file)
    torch.testing.assert_close(output(target, 160), output(model, 160))


def test_batch_norms_of_which_only_weight_and_bias_are_in_the_file_keep_together(
    tmp_path: Path,
) -> None:
    model = resnet18(num_classes=7)
    torch.manual_seed(8)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    tensors = {own_name(key): value.detach() for key, value in model.named_parameters()}
    target = resnet18(num_classes=7)
    filled(target, saved(tmp_path, tensors))
    for key, value in target.named_parameters():
        assert torch.equal(value, model.get_parameter(key)), key
