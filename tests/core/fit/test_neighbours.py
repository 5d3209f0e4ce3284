"""What may be computed around a network or its head is never left out of a fit in silence."""

from collections.abc import Callable

import pytest
import torch

from core.architectures import Architecture, signature
from core.checkpoint import StateDict
from core.fit import Fit, fit_of
from core.fit.proposals import best_repair
from core.recipe import apply_recipe
from tests.core.fit.renamed_networks import Weights, prefixed, resnet, without

Saved = Callable[[Weights], StateDict]

CLASSES = 1000
WANTED = signature(Architecture("torchvision", "resnet18"))


def linear(name: str, outputs: int, inputs: int) -> Weights:
    return {
        f"{name}.weight": torch.randn(outputs, inputs),
        f"{name}.bias": torch.randn(outputs),
    }


def batch_norm(name: str, width: int) -> Weights:
    return {
        f"{name}.{key}": value for key, value in torch.nn.BatchNorm2d(width).state_dict().items()
    }


TRUNK = without(resnet(), "^fc")
HEAD = linear("fc", CLASSES, 512)


def fit(saved: Saved, weights: Weights) -> Fit:
    file = saved(weights)
    repaired = apply_recipe(best_repair(file, WANTED).recipe, file, WANTED).state_dict
    result = fit_of(file, repaired, WANTED)
    assert result.match.fits
    return result


@pytest.mark.parametrize(
    ("between", "module"),
    [
        (linear("att_v", 128, 512) | linear("att_w", 1, 128), "att_v.*"),
        (linear("pool.attn", 1, 512), "pool.*"),
        ({"site_embedding.weight": torch.randn(20, 512)}, "site_embedding.*"),
        ({"alpha": torch.randn(512), "beta": torch.randn(512)}, "alpha"),
        ({"feature_scale": torch.randn(512)}, "feature_scale"),
    ],
)
def test_what_may_change_the_features_before_a_head(
    saved: Saved, between: Weights, module: str
) -> None:
    found = fit(saved, prefixed("cnn.", TRUNK) | between | HEAD)
    assert not found.fits
    assert found.doubts[0].sentence == (
        f"`{module}` may stand between the network and its head `fc`."
    )


@pytest.mark.parametrize(
    ("after", "module"),
    [
        (linear("calib", CLASSES, CLASSES), "calib.*"),
        (linear("fc2", 10, CLASSES), "fc2.*"),
        (batch_norm("bn_out", CLASSES), "bn_out.*"),
        ({"logit_bias": torch.randn(CLASSES)}, "logit_bias"),
        ({"arcface.weight": torch.randn(70, CLASSES)}, "arcface.*"),
        ({"margin.kernel": torch.randn(CLASSES, 70)}, "margin.*"),
        ({"centers": torch.randn(70, CLASSES)}, "centers"),
    ],
)
def test_what_may_take_the_outputs_of_a_head(saved: Saved, after: Weights, module: str) -> None:
    found = fit(saved, prefixed("net.", TRUNK | HEAD) | after)
    assert not found.fits
    assert found.doubts[0].sentence == f"`{module}` may take the outputs of `net.fc`."
    assert not fit(saved, TRUNK | HEAD | after).fits


@pytest.mark.parametrize(
    ("place", "beside", "sentence"),
    [
        ("1.", {"0.weight": torch.randn(3, 6, 1, 1)}, "`0.*` may be computed before `1.*`"),
        ("1.", batch_norm("0", 3), "`0.*` may be computed before `1.*`"),
        ("0.", batch_norm("1", 70), "`1.*` may be computed after `0.*`"),
        ("net.", batch_norm("bn_in", 3), "`bn_in.*` may change the image before"),
        ("net.", {"adapt.weight": torch.randn(3, 6, 1, 1)}, "`adapt.*` may change the image"),
    ],
)
def test_what_may_be_computed_before_a_network_or_after_it(
    saved: Saved, place: str, beside: Weights, sentence: str
) -> None:
    found = fit(saved, prefixed(place, TRUNK | HEAD) | beside)
    assert not found.fits
    assert found.doubts[0].sentence.startswith(sentence)


@pytest.mark.parametrize(("one", "other"), [("rgb_net.", "depth_net."), ("left.", "right.")])
def test_a_head_beside_two_networks_is_not_given_to_one(saved: Saved, one: str, other: str) -> None:
    weights = prefixed(one, TRUNK) | prefixed(other, without(resnet(1), "^fc"))
    assert not fit(saved, weights | HEAD).fits


@pytest.mark.parametrize(("one", "other"), [("student.", "teacher."), ("model.", "model_ema.")])
def test_a_head_beside_a_network_and_its_copy_is_of_both(
    saved: Saved, one: str, other: str
) -> None:
    weights = prefixed(one, TRUNK) | prefixed(other, without(resnet(1), "^fc"))
    assert fit(saved, weights | HEAD).fits


@pytest.mark.parametrize(
    "beside",
    [
        {"centers": torch.randn(CLASSES, 512)},
        {"class_weights": torch.randn(CLASSES)},
        {"criterion.weight": torch.randn(CLASSES)},
        {"normalize.mean": torch.randn(1, 3, 1, 1), "normalize.std": torch.randn(1, 3, 1, 1)},
        linear("rot_head", 4, 512),
        linear("projector.0", 128, 512) | linear("projector.1", 64, 128),
        {f"decoder.{at}.weight": torch.randn(64, 64, 3, 3) for at in range(3)}
        | {"decoder.3.weight": torch.randn(3, 64, 3, 3)},
    ],
)
def test_other_parts_beside_a_network_are_left_out(saved: Saved, beside: Weights) -> None:
    assert fit(saved, prefixed("net.", TRUNK | HEAD) | beside).fits
