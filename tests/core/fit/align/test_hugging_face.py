"""Networks of transformers find their places in timm's and torchvision's, and give the same."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
import transformers
from torch import nn
from torchvision.models import get_model

from core.fit.align import align
from tests.core.fit.align.models import filled, missing, output, saved, saved_by_name, varied
from tests.core.plain_torch import signature_of

pytestmark = pytest.mark.slow

SMALL = {
    "hidden_size": 48,
    "num_hidden_layers": 12,
    "num_attention_heads": 3,
    "intermediate_size": 192,
    "image_size": 32,
    "patch_size": 8,
}


def vision_transformer(**options: object) -> nn.Module:
    """timm's, of the size of SMALL."""
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 12, "num_heads": 3}
    return timm.models.VisionTransformer(**size | {"num_classes": 5} | options)


@dataclass(frozen=True)
class Pair:
    """A network of transformers, the same one here, a square image's side, what Hugging Face's
    gives beside `logits`, and what its file cannot hold."""

    theirs: Callable[[], nn.Module]
    ours: Callable[[], nn.Module]
    size: int = 32
    gives: Callable[[object], torch.Tensor] = lambda given: given.logits
    missing: tuple[str, ...] = ()
    in_any_order: bool = True


PAIRS = {
    "vit": Pair(
        lambda: transformers.ViTForImageClassification(
            transformers.ViTConfig(**SMALL, num_labels=5, layer_norm_eps=1e-6)
        ),
        vision_transformer,
    ),
    "clip": Pair(
        lambda: transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(**SMALL, projection_dim=5)
        ),
        lambda: vision_transformer(
            pre_norm=True,
            act_layer="quick_gelu",
            norm_layer=partial(nn.LayerNorm, eps=1e-5),
        ),
        gives=lambda given: given.image_embeds,
        missing=("head.bias",),
    ),
    "dinov2": Pair(
        lambda: transformers.Dinov2Model(transformers.Dinov2Config(**SMALL)),
        lambda: vision_transformer(num_classes=0, init_values=1.0),
        gives=lambda given: given.pooler_output,
    ),
    "resnet": Pair(
        lambda: transformers.ResNetForImageClassification(
            transformers.ResNetConfig(
                hidden_sizes=[64, 128, 256, 512],
                depths=[2, 2, 2, 2],
                layer_type="basic",
                num_labels=5,
            )
        ),
        lambda: get_model("resnet18", num_classes=5),
    ),
    "regnet": Pair(
        lambda: transformers.RegNetForImageClassification(
            transformers.RegNetConfig(
                embedding_size=32,
                hidden_sizes=[48, 104, 208, 440],
                depths=[1, 3, 6, 6],
                groups_width=8,
                layer_type="y",
                num_labels=5,
            )
        ),
        lambda: get_model("regnet_y_400mf", num_classes=5),
    ),
    "convnext": Pair(
        lambda: transformers.ConvNextForImageClassification(
            transformers.ConvNextConfig(
                hidden_sizes=[16, 32, 64, 128], depths=[2, 2, 4, 2], num_labels=5
            )
        ),
        lambda: timm.models.ConvNeXt(dims=(16, 32, 64, 128), depths=(2, 2, 4, 2), num_classes=5),
    ),
    "convnextv2": Pair(
        lambda: transformers.ConvNextV2ForImageClassification(
            transformers.ConvNextV2Config(
                hidden_sizes=[16, 32, 64, 128], depths=[2, 2, 4, 2], num_labels=5
            )
        ),
        lambda: timm.models.ConvNeXt(
            dims=(16, 32, 64, 128),
            depths=(2, 2, 4, 2),
            num_classes=5,
            use_grn=True,
            ls_init_value=None,
        ),
    ),
    "swin": Pair(
        lambda: transformers.SwinForImageClassification(
            transformers.SwinConfig(embed_dim=24, num_labels=5)
        ),
        lambda: timm.models.SwinTransformer(embed_dim=24, num_classes=5),
        size=224,
    ),
    "mobilevit": Pair(
        lambda: transformers.MobileViTForImageClassification(
            transformers.MobileViTConfig(num_labels=5)
        ),
        lambda: timm.create_model("mobilevit_s", num_classes=5),
        size=64,
    ),
    "mobilenet_v2": Pair(
        lambda: transformers.MobileNetV2ForImageClassification(
            transformers.MobileNetV2Config(num_labels=5)
        ),
        lambda: timm.create_model("mobilenetv2_100", num_classes=5, bn_eps=1e-3, pad_type="same"),
        in_any_order=False,
    ),
    "efficientnet": Pair(
        lambda: transformers.EfficientNetForImageClassification(
            transformers.EfficientNetConfig(
                width_coefficient=1.0,
                depth_coefficient=1.0,
                hidden_dim=1280,
                image_size=32,
                num_labels=5,
            )
        ),
        lambda: timm.create_model("tf_efficientnet_b0", num_classes=5),
        in_any_order=False,
    ),
}


def told_apart(model: nn.Module) -> nn.Module:
    """Every tensor apart from every other, attention strong enough to show in the output."""
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if any(word in key for word in ("query", "key", "q_proj", "k_proj")):
                tensor.mul_(10)
    return varied(model)


@pytest.mark.parametrize("sorted_by_name", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_a_network_of_transformers_is_the_same_one_here(
    tmp_path: Path, name: str, sorted_by_name: bool
) -> None:
    pair = PAIRS[name]
    torch.manual_seed(0)
    source = told_apart(pair.theirs())
    torch.manual_seed(1)
    target = varied(pair.ours(), seed=1)
    image = torch.randn(1, 3, pair.size, pair.size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = pair.gives(source(pixel_values=image))
    if pair.missing:
        with torch.no_grad():
            target.get_parameter(pair.missing[0]).zero_()
    save = saved_by_name if sorted_by_name else saved
    state_dict = save(tmp_path, source.state_dict())
    found = filled(target, state_dict)
    left = missing(found, target.state_dict())
    computed = [key for key in left if not key.endswith("relative_position_index")]
    assert tuple(computed) == pair.missing
    given = output(target, pair.size)
    if pair.in_any_order or not sorted_by_name:
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4)
        assert not found.ambiguous
    else:
        in_order = align(saved(tmp_path, source.state_dict()), signature_of(target))
        right = {(one.key, one.wanted) for one in in_order.pairs}
        assert all(one.ambiguous for one in found.pairs if (one.key, one.wanted) not in right)


def test_norms_that_stand_last_in_their_block_stay_in_it(tmp_path: Path) -> None:
    source = transformers.PoolFormerForImageClassification(transformers.PoolFormerConfig())
    found = align(
        saved(tmp_path, source.state_dict()), signature_of(timm.create_model("poolformer_s12"))
    )
    places = {pair.key: pair.wanted for pair in found.pairs}
    for stage, blocks in enumerate((2, 2, 6, 2)):
        for block in range(blocks):
            for theirs, ours in (("before_norm", "norm1"), ("after_norm", "norm2")):
                key = f"poolformer.encoder.block.{stage}.{block}.{theirs}.weight"
                assert places[key] == f"stages.{stage}.blocks.{block}.{ours}.weight"
