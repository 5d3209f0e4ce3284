"""Files of transformers' vision models: what fits computes the same, or is told not to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model

from core.architectures import Architecture
from core.checkpoint import StateDict, open_checkpoint
from core.fit.identify import identify
from core.fit.index import Lookup
from core.fit.lookalikes import Arithmetic, known_facts
from core.fixes import Recipe
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.fit.align.models import varied
from tests.core.plain_torch import signature_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not known_facts(), reason="other versions than the index's"),
]

SEVEN = {"num_labels": 7}


@dataclass(frozen=True)
class Case:
    """A network of transformers, the key of the architecture that it is, and its image's side."""

    theirs: Callable[[], nn.Module]
    key: str
    size: int = 224


SAME = {
    "swinv2": Case(
        lambda: transformers.Swinv2ForImageClassification(
            transformers.Swinv2Config(image_size=256, window_size=8, **SEVEN)
        ),
        "timm:swinv2_tiny_window8_256?num_classes=7",
        size=256,
    ),
    "pvt_v2": Case(
        lambda: transformers.PvtV2ForImageClassification(transformers.PvtV2Config(**SEVEN)),
        "timm:pvt_v2_b0?num_classes=7",
    ),
    "data2vec": Case(
        lambda: transformers.Data2VecVisionForImageClassification(
            transformers.Data2VecVisionConfig(
                use_relative_position_bias=True, layer_norm_eps=1e-6, **SEVEN
            )
        ),
        "timm:beit_base_patch16_224?num_classes=7",
    ),
}
"""What is the same network in timm, where its attention is fused."""

EFFICIENTNET = Case(
    lambda: transformers.EfficientNetForImageClassification(
        transformers.EfficientNetConfig(
            width_coefficient=1.0,
            depth_coefficient=1.0,
            hidden_dim=1280,
            image_size=224,
            **SEVEN,
        )
    ),
    "timm:tf_efficientnet_b0?num_classes=7",
)

OTHER = {
    "mobilenet_v1": Case(
        lambda: transformers.MobileNetV1ForImageClassification(
            transformers.MobileNetV1Config(**SEVEN)
        ),
        "timm:mobilenetv1_100?num_classes=7",
    ),
    "mobilenet_v2": Case(
        lambda: transformers.MobileNetV2ForImageClassification(
            transformers.MobileNetV2Config(**SEVEN)
        ),
        "torchvision:mobilenet_v2?num_classes=7",
    ),
    "poolformer": Case(
        lambda: transformers.PoolFormerForImageClassification(
            transformers.PoolFormerConfig(**SEVEN)
        ),
        "timm:poolformer_s12?num_classes=7",
    ),
    "swiftformer": Case(
        lambda: transformers.SwiftFormerForImageClassification(
            transformers.SwiftFormerConfig(**SEVEN)
        ),
        "timm:swiftformer_xs?num_classes=7",
    ),
}
"""What has the tensors of a network of timm or torchvision, and computes something else."""


def in_order(model: nn.Module, folder: Path) -> StateDict:
    torch.save(model.state_dict(), folder / "weights.pth")
    return open_checkpoint(folder / "weights.pth").state_dict()


def by_name(model: nn.Module, folder: Path) -> StateDict:
    save_file(
        {key: value.clone() for key, value in model.state_dict().items()},
        folder / "weights.safetensors",
    )
    return open_checkpoint(folder / "weights.safetensors").state_dict()


def difference(
    source: nn.Module, architecture: Architecture, recipe: Recipe, file: StateDict, size: int
) -> float:
    """How far the outputs of the repaired file are from the source's, relative to these."""
    create = timm.create_model if architecture.library == "timm" else get_model
    target = create(architecture.name, **dict(architecture.options))
    repaired = apply_recipe(recipe, file, signature_of(target)).state_dict
    target.load_state_dict(
        target.state_dict() | {key: read_tensor(entry) for key, entry in repaired.items()}
    )
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = source(pixel_values=image).logits
        given = target.eval()(image)
    return float((given - expected).norm() / expected.norm())


@pytest.mark.parametrize("write", [in_order, by_name])
@pytest.mark.parametrize("name", SAME)
def test_what_is_the_same_network_gives_the_same_outputs(
    lookup: Lookup, tmp_path: Path, name: str, write: Callable[[nn.Module, Path], StateDict]
) -> None:
    case = SAME[name]
    torch.manual_seed(0)
    source = varied(case.theirs())
    file = write(source, tmp_path)
    best = identify(file, lookup).candidates[0]
    assert best.fits
    assert best.architecture.key == case.key
    assert difference(source, best.architecture, best.recipe, file, case.size) < 1e-4


def test_names_that_say_which_arithmetic_leave_no_other_architecture(
    lookup: Lookup, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    source = varied(EFFICIENTNET.theirs())
    file = in_order(source, tmp_path)
    found = identify(file, lookup)
    best = found.candidates[0]
    assert best.architecture.key == EFFICIENTNET.key
    assert difference(source, best.architecture, best.recipe, file, EFFICIENTNET.size) < 1e-5
    assert any(each.architecture.library == "torchvision" for each in found.candidates)
    assert "torchvision" not in found.sentence


@pytest.mark.parametrize("name", OTHER)
def test_code_of_another_arithmetic_is_known_by_its_key_names(
    lookup: Lookup, tmp_path: Path, name: str
) -> None:
    case = OTHER[name]
    torch.manual_seed(0)
    source = varied(case.theirs())
    file = in_order(source, tmp_path)
    found = identify(file, lookup)
    best = found.candidates[0]
    assert best.architecture.key == case.key
    assert difference(source, best.architecture, best.recipe, file, case.size) > 1e-4
    assert best.unlike
    assert best.unlike in found.sentence


def test_a_mask_token_is_no_part_of_the_network(lookup: Lookup, tmp_path: Path) -> None:
    config = transformers.Dinov2Config(
        hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14
    )
    source = varied(transformers.Dinov2Model(config))
    assert "embeddings.mask_token" in source.state_dict()
    for file in (in_order(source, tmp_path), by_name(source, tmp_path)):
        best = identify(file, lookup).candidates[0]
        assert best.fits
        assert best.architecture.key == "timm:vit_small_patch14_dinov2"
        assert best.left_out == ("embeddings.mask_token",)
        places = {
            entry.key: entry.origin for entry in apply_recipe(best.recipe, file).state_dict.values()
        }
        assert places["blocks.3.ls1.gamma"] == "encoder.layer.3.layer_scale1.lambda1"
        assert places["blocks.3.ls2.gamma"] == "encoder.layer.3.layer_scale2.lambda1"


def test_the_quick_gelu_of_clip_is_told_of_a_file_without_a_head(
    lookup: Lookup, tmp_path: Path
) -> None:
    with torch.device("meta"):
        config = transformers.CLIPVisionConfig()
        model = transformers.CLIPVisionModel(config)
    weights = {
        key: torch.zeros_like(value, device="cpu") for key, value in model.state_dict().items()
    }
    torch.save(weights, tmp_path / "clip.pth")
    found = identify(open_checkpoint(tmp_path / "clip.pth").state_dict(), lookup)
    best = found.candidates[0]
    assert best.architecture.name == "vit_base_patch32_clip_224"
    relations = dict(zip([each.name for each in best.also], best.relations, strict=True))
    assert relations["vit_base_patch32_clip_quickgelu_224"].arithmetic is Arithmetic.OTHER
    assert "activation QuickGELU" in found.sentence
