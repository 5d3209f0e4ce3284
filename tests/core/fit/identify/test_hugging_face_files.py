"""Files of transformers' vision models: what fits computes the same, or is told not to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import timm
import torch
import transformers
from torch import nn
from torchvision.models import get_model

from core.architectures import Architecture
from core.checkpoint import StateDict
from core.fit.identify import identify
from core.fit.index import Lookup
from core.fit.lookalikes import Arithmetic, known_facts
from core.fixes import Recipe
from core.recipe import apply_recipe
from tests.core.fit.align.models import fill, saved, saved_by_name, varied
from tests.core.fit.identify.files import classifier

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not known_facts(), reason="other versions than the index's"),
]


@dataclass(frozen=True)
class Case:
    """A network of transformers, the key of the architecture that it is, and its image's side."""

    theirs: Callable[[], nn.Module]
    key: str
    size: int = 224


SAME = {
    "swinv2": Case(
        lambda: classifier("Swinv2", image_size=256, window_size=8),
        "timm:swinv2_tiny_window8_256?num_classes=7",
        size=256,
    ),
    "pvt_v2": Case(lambda: classifier("PvtV2"), "timm:pvt_v2_b0?num_classes=7"),
    "data2vec": Case(
        lambda: classifier("Data2VecVision", use_relative_position_bias=True, layer_norm_eps=1e-6),
        "timm:beit_base_patch16_224?num_classes=7",
    ),
}
"""What is the same network in timm, where its attention is fused."""

EFFICIENTNET = Case(
    lambda: classifier(
        "EfficientNet",
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        image_size=224,
    ),
    "timm:tf_efficientnet_b0?num_classes=7",
)

OTHER = {
    "MobileNetV1": "timm:mobilenetv1_100?num_classes=7",
    "MobileNetV2": "torchvision:mobilenet_v2?num_classes=7",
    "PoolFormer": "timm:poolformer_s12?num_classes=7",
    "SwiftFormer": "timm:swiftformer_xs?num_classes=7",
}
"""What has the tensors of a network of timm or torchvision, and computes something else."""


def difference(
    source: nn.Module, architecture: Architecture, recipe: Recipe, file: StateDict, size: int
) -> float:
    """How far the outputs of the repaired file are from the source's, relative to these."""
    create = timm.create_model if architecture.library == "timm" else get_model
    target = create(architecture.name, **dict(architecture.options))
    fill(target, recipe, file)
    image = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = source(pixel_values=image).logits
        given = target.eval()(image)
    return float((given - expected).norm() / expected.norm())


@pytest.mark.parametrize("save", [saved, saved_by_name])
@pytest.mark.parametrize("name", SAME)
def test_what_is_the_same_network_gives_the_same_outputs(
    lookup: Lookup,
    tmp_path: Path,
    name: str,
    save: Callable[[Path, Mapping[str, torch.Tensor]], StateDict],
) -> None:
    case = SAME[name]
    torch.manual_seed(0)
    source = case.theirs()
    file = save(tmp_path, source.state_dict())
    best = identify(file, lookup).candidates[0]
    assert best.fits
    assert best.architecture.key == case.key
    assert difference(source, best.architecture, best.recipe, file, case.size) < 1e-4


def test_names_that_say_which_arithmetic_leave_no_other_architecture(
    lookup: Lookup, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    source = EFFICIENTNET.theirs()
    file = saved(tmp_path, source.state_dict())
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
    torch.manual_seed(0)
    source = classifier(name)
    file = saved(tmp_path, source.state_dict())
    found = identify(file, lookup)
    best = found.candidates[0]
    assert best.architecture.key == OTHER[name]
    assert difference(source, best.architecture, best.recipe, file, 224) > 1e-4
    assert best.unlike
    assert best.unlike in found.sentence


def test_a_mask_token_is_no_part_of_the_network(lookup: Lookup, tmp_path: Path) -> None:
    config = transformers.Dinov2Config(
        hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14
    )
    source = varied(transformers.Dinov2Model(config))
    assert "embeddings.mask_token" in source.state_dict()
    for save in (saved, saved_by_name):
        file = save(tmp_path, source.state_dict())
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
    found = identify(saved(tmp_path, weights), lookup)
    best = found.candidates[0]
    assert best.architecture.name == "vit_base_patch32_clip_224"
    relations = dict(zip([each.name for each in best.also], best.relations, strict=True))
    assert relations["vit_base_patch32_clip_quickgelu_224"].arithmetic is Arithmetic.OTHER
    assert "activation QuickGELU" in found.sentence
