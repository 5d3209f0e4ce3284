"""A network that is several times in a file: one copy is taken, everywhere the same, and told."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18

from core.architectures import Architecture, signature
from core.checkpoint import StateDict, open_checkpoint
from core.fit import Fit, fit_of, fit_verdict
from core.fit.identify import identify
from core.fit.index import Lookup
from core.fit.proposals import best_repair
from core.fixes import Keep, Recipe, RenameTable, StripPrefix
from core.recipe import apply_recipe

Weights = dict[str, Tensor]
Saved = Callable[[Weights], StateDict]

RESNET = signature(Architecture("torchvision", "resnet18"))
ROOT_FIRST = (
    "The file has this network in 2 places, without a prefix (122 keys) and under `ema.` "
    "(122 keys): the one without a prefix is taken. To use another, keep only `ema.*` first."
)


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    def save(weights: Weights) -> StateDict:
        torch.save(weights, tmp_path / "file.pth")
        return open_checkpoint(tmp_path / "file.pth").state_dict()

    return save


def trained(seed: int) -> Weights:
    torch.manual_seed(seed)
    return resnet18().state_dict()


def prefixed(prefix: str, weights: Weights) -> Weights:
    return {prefix + key: value for key, value in weights.items()}


def other_names(weights: Weights) -> Weights:
    words = {"layer": "stage", "conv": "c", "bn": "n", "downsample": "short", "fc": "head"}

    def renamed(key: str) -> str:
        for word, other in words.items():
            key = key.replace(word, other)
        return key

    return {renamed(key): value for key, value in weights.items()}


def repaired(file: StateDict, recipe: Recipe) -> tuple[Fit, set[str]]:
    """The fit after a recipe, and the first parts of the keys that the tensors are from."""
    after = apply_recipe(recipe, file, RESNET).state_dict
    firsts = {entry.origin.partition(".")[0] for key, entry in after.items() if key in RESNET}
    return fit_of(file, after, RESNET), firsts


@pytest.mark.parametrize("named", [dict, other_names])
@pytest.mark.parametrize("average_first", [False, True])
def test_identify_and_fix_take_the_weights_at_the_top_and_not_their_average(
    saved: Saved, lookup: Lookup, named: Callable[[Weights], Weights], average_first: bool
) -> None:
    weights, average = named(trained(1)), prefixed("ema.", named(trained(2)))
    file = saved(average | weights if average_first else weights | average)
    best = identify(file, lookup).candidates[0]
    for recipe in (best.recipe, best_repair(file, RESNET).recipe):
        fit, firsts = repaired(file, recipe)
        assert fit.fits
        assert "ema" not in firsts
        assert fit_verdict(fit) == f"Fits: 122 of 122 keys. `ema.*` is left out. {ROOT_FIRST}"
    assert " ".join(best.evidence).count(ROOT_FIRST) == 1


def test_a_mixture_of_the_top_and_an_average_is_no_fit(saved: Saved) -> None:
    weights, average = trained(1), prefixed("ema.", trained(2))
    file = saved(weights | average)
    table = [(f"ema.{key}" if at % 2 else key, f"new.{key}") for at, key in enumerate(RESNET)]
    recipe = Recipe.of((RenameTable(tuple(table)), Keep("new.*"), StripPrefix("new.")))
    fit, _ = repaired(file, recipe)
    assert fit.match.fits
    assert not fit.fits
    assert "two copies of one network" in fit.doubts[0].sentence


def test_a_head_that_two_copies_share_goes_with_the_weights(saved: Saved, lookup: Lookup) -> None:
    body = {key: value for key, value in trained(1).items() if not key.startswith("fc.")}
    head = {key: value for key, value in trained(1).items() if key.startswith("fc.")}
    file = saved(prefixed("teacher.", body) | prefixed("student.", body) | head)
    for recipe in (
        identify(file, lookup).candidates[0].recipe,
        best_repair(file, RESNET).recipe,
    ):
        fit, firsts = repaired(file, recipe)
        assert fit.fits
        assert firsts == {"student", "fc"}
        assert "the one under `student.` is taken. To use another, drop `student.*` first." in (
            fit.copies
        )
