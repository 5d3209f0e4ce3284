"""Architectures of the same tensors are said to differ where their outputs do, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from core.architectures import parse_architecture
from core.fit.index import installed_versions
from core.fit.lookalikes import Arithmetic, ArithmeticFacts, compare_facts, known_facts, relation
from core.fit.lookalikes.facts import SHIPPED, load_facts, save_facts
from core.fit.lookalikes.of_model import configuration, named_facts, root_class
from core.fit.lookalikes.record import build_facts

pytestmark = pytest.mark.slow

needs_the_facts = pytest.mark.skipif(
    not load_facts(SHIPPED, installed_versions()), reason="other versions than the facts'"
)


def facts_of(model: nn.Module) -> ArithmeticFacts:
    """A model's facts, without a measurement."""
    return ArithmeticFacts(named_facts(model), {}, root_class(model), configuration(model))


def same_outputs(one: nn.Module, other: nn.Module, edge: int) -> bool:
    """Whether both give the same numbers for the weights of `one` and a random image."""
    torch.manual_seed(0)
    for parameter in one.parameters():
        nn.init.normal_(parameter, 0.1, 0.1)
    other.load_state_dict(one.state_dict())
    image = torch.randn(2, 3, edge, edge, dtype=torch.float64)
    with torch.inference_mode():
        outputs = [model.double().eval()(image) for model in (one, other)]
    return torch.allclose(*outputs, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("one", "other", "edge"),
    [
        ("resnet18", "resnetblur18", 64),
        ("test_efficientnet_gn", "test_efficientnet_ln", 64),
        ("vit_tiny_patch16_224", "deit_tiny_patch16_224", 224),
        ("mobilenetv3_small_075", "tf_mobilenetv3_small_075", 64),
    ],
)
def test_the_differences_by_name_are_empty_only_where_outputs_are_equal(
    one: str, other: str, edge: int
) -> None:
    models = [timm.create_model(name) for name in (one, other)]
    compared = compare_facts(*map(facts_of, models))
    same = same_outputs(*models, edge)
    assert (compared.arithmetic is Arithmetic.SAME) == same
    assert bool(compared.differences) != same


@pytest.mark.parametrize(
    ("name", "option", "named"),
    [
        ("vit_small_patch16_224", {"num_heads": 12}, "heads 12"),
        ("vit_tiny_patch16_224", {"act_layer": "quick_gelu"}, "activation QuickGELU"),
        ("vit_small_patch16_dinov3_qkvb", {"global_pool": "token"}, "global_pool=token"),
    ],
)
def test_settings_of_one_class_that_change_the_outputs_are_differences(
    name: str, option: dict[str, object], named: str
) -> None:
    plain, other = (timm.create_model(name, depth=1, **more) for more in ({}, option))
    compared = compare_facts(facts_of(plain), facts_of(other))
    assert (compared.arithmetic, compared.differences) == (Arithmetic.OTHER, (named,))
    assert not same_outputs(plain, other, 224)


def test_models_of_one_signature_are_run_with_the_same_weights() -> None:
    keys = ("torchvision:resnet18", "timm:resnet18", "timm:resnetblur18")
    facts = build_facts(map(parse_architecture, keys))
    plain = facts[keys[0]]
    assert compare_facts(plain, facts[keys[1]]).arithmetic is Arithmetic.SAME
    blurred = compare_facts(plain, facts[keys[2]])
    assert blurred.arithmetic is Arithmetic.OTHER
    assert blurred.differences == ("downsampling through blur pooling",)


@needs_the_facts
@pytest.mark.parametrize(
    ("one", "other", "arithmetic", "named"),
    [
        (
            "timm:efficientnet_b0",
            "timm:tf_efficientnet_b0",
            "other",
            ("padding SAME", "BatchNorm eps 0.001"),
        ),
        ("timm:vit_small_patch16_224", "timm:deit_small_patch16_224", "same", ()),
        ("torchvision:resnet50", "timm:resnet50", "same", ()),
        (
            "torchvision:efficientnet_b0",
            "timm:tf_efficientnet_b0",
            "other",
            ("padding SAME", "BatchNorm eps 0.001"),
        ),
    ],
)
def test_the_shipped_facts_name_the_differences(
    one: str, other: str, arithmetic: str, named: tuple[str, ...]
) -> None:
    compared = relation(parse_architecture(one), parse_architecture(other))
    assert compared.arithmetic.value == arithmetic
    assert set(compared.differences) == set(named)


@needs_the_facts
def test_what_the_facts_do_not_say_is_unknown() -> None:
    vit = parse_architecture("timm:vit_small_patch16_224")
    pooled = parse_architecture("timm:deit_small_patch16_224?global_pool=avg")
    assert relation(vit, pooled).arithmetic is Arithmetic.UNKNOWN
    assert compare_facts(None, known_facts()[vit.key]).arithmetic is Arithmetic.UNKNOWN


def test_facts_are_read_as_written_and_only_for_their_versions(tmp_path: Path) -> None:
    facts = {"timm:a": ArithmeticFacts({"heads": "6"}, {"mean": "0.5"}, "A", "0f", ("1e", 2))}
    save_facts(facts, {"timm": "1"}, tmp_path / "facts.gz")
    assert load_facts(tmp_path / "facts.gz", {"timm": "1"}) == facts
    assert load_facts(tmp_path / "facts.gz", {"timm": "2"}) == {}
