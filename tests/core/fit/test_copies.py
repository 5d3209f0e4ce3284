"""A network that is several times in a file: one copy is taken, everywhere the same, and told."""

import random
from collections.abc import Callable

import pytest
import timm
import torch

from benchmarks.identify_corpus import state_dict_of
from core.architectures import Architecture, signature
from core.checkpoint import StateDict
from core.fit import Fit, fit_of, fit_verdict
from core.fit.copies import copies_of
from core.fit.identify import identify
from core.fit.index import Lookup
from core.fit.proposals import best_repair
from core.fixes import Keep, Recipe, RenameTable, StripPrefix
from core.recipe import apply_recipe
from tests.core.fit.renamed_networks import Weights, prefixed, renamed, resnet

Saved = Callable[[Weights], StateDict]

RESNET = signature(Architecture("torchvision", "resnet18"))


OTHER_NAMES = (
    ("layer", "stage"),
    ("conv", "c"),
    ("bn", "n"),
    ("downsample", "short"),
    ("fc", "head"),
)


def other_names(weights: Weights) -> Weights:
    return renamed(weights, *OTHER_NAMES)


def at_the_top(other: str) -> str:
    return (
        f"The file has this network in 2 places, without a prefix (122 keys) and under `{other}` "
        "(122 keys): the one without a prefix is taken. To use another, keep only "
        f"`{other}*` first."
    )


def repaired(file: StateDict, recipe: Recipe) -> tuple[Fit, set[str]]:
    """The fit after a recipe, and the first parts of the keys that the tensors are from."""
    after = apply_recipe(recipe, file, RESNET).state_dict
    firsts = {entry.origin.partition(".")[0] for key, entry in after.items() if key in RESNET}
    return fit_of(file, after, RESNET), firsts


@pytest.mark.parametrize("named", [dict, other_names])
@pytest.mark.parametrize("other", ["ema.", "best."])
@pytest.mark.parametrize("other_first", [False, True])
def test_identify_and_fix_take_the_network_at_the_top_and_not_its_copy(
    saved: Saved,
    lookup: Lookup,
    named: Callable[[Weights], Weights],
    other: str,
    other_first: bool,
) -> None:
    weights, copy = named(resnet(1)), prefixed(other, named(resnet(2)))
    file = saved(copy | weights if other_first else weights | copy)
    best = identify(file, lookup).candidates[0]
    for recipe in (best.recipe, best_repair(file, RESNET).recipe):
        fit, firsts = repaired(file, recipe)
        assert fit.fits
        assert other.rstrip(".") not in firsts
        told = at_the_top(other)
        assert fit_verdict(fit) == f"Fits: 122 of 122 keys. `{other}*` is left out. {told}"
        assert " ".join(best.evidence).count(told) == 1


@pytest.mark.parametrize("named", [dict, other_names])
@pytest.mark.parametrize("prefixes", [("G.", "G_ema.", "best."), ("netBB.", "netA.", "netCCC.")])
def test_of_three_copies_identify_and_fix_take_the_first(
    saved: Saved, lookup: Lookup, named: Callable[[Weights], Weights], prefixes: tuple[str, ...]
) -> None:
    copies = [prefixed(prefix, named(resnet(at))) for at, prefix in enumerate(prefixes)]
    file = saved(copies[0] | copies[1] | copies[2])
    first = prefixes[0].rstrip(".")
    for recipe in (
        identify(file, lookup).candidates[0].recipe,
        best_repair(file, RESNET).recipe,
    ):
        fit, firsts = repaired(file, recipe)
        assert fit.fits
        assert firsts == {first}


@pytest.mark.parametrize("place", ["", "backbone."])
def test_a_copy_whose_names_have_no_dots_is_left_out(
    saved: Saved, lookup: Lookup, place: str
) -> None:
    weights = prefixed(place, resnet(1))
    average = {f"ema_{key.replace('.', '_')}": value for key, value in weights.items()}
    file = saved(weights | average)
    for recipe in (
        identify(file, lookup).candidates[0].recipe,
        best_repair(file, RESNET).recipe,
    ):
        fit, firsts = repaired(file, recipe)
        assert fit.fits
        assert not any(first.startswith("ema_") for first in firsts)
        assert "a copy whose names have no dots" in fit.left_out


def test_a_copy_without_a_head_beside_the_network_is_left_out(saved: Saved) -> None:
    body = {key: value for key, value in resnet(2).items() if not key.startswith("fc.")}
    file = saved(resnet(1) | prefixed("target.", body))
    fit, firsts = repaired(file, best_repair(file, RESNET).recipe)
    assert fit.fits
    assert "target" not in firsts
    assert fit.left_out == "`target.*` is left out"


@pytest.mark.parametrize("name", ["blocks2.", "temporal_blocks.", "temporal.blocks."])
def test_more_blocks_of_the_same_shapes_are_no_copy(saved: Saved, name: str) -> None:
    vit = signature(Architecture("timm", "test_vit"))
    torch.manual_seed(1)
    weights = timm.create_model("test_vit").state_dict()
    more = {
        key.replace("blocks.", name): value
        for key, value in weights.items()
        if key.startswith("blocks.")
    }
    file = saved(weights | more)
    fit = fit_of(file, apply_recipe(best_repair(file, vit).recipe, file).state_dict, vit)
    assert fit.match.fits
    assert "of the network itself are left out" in fit.doubts[0].sentence


def test_what_is_beside_the_blocks_of_a_copy_is_of_the_same_copy(saved: Saved) -> None:
    vit = signature(Architecture("timm", "test_vit"))
    torch.manual_seed(1)
    weights = timm.create_model("test_vit").state_dict()
    file = saved(weights | prefixed("target.", weights))
    places = [copy.prefix for copy in copies_of(file, vit)]
    assert places == ["", "target."]
    fit = fit_of(
        file,
        apply_recipe(best_repair(file, vit).recipe, file).state_dict,
        vit,
    )
    assert fit.fits


def test_a_mixture_of_the_top_and_an_average_is_no_fit(saved: Saved) -> None:
    weights, average = resnet(1), prefixed("ema.", resnet(2))
    file = saved(weights | average)
    table = [(f"ema.{key}" if at % 2 else key, f"new.{key}") for at, key in enumerate(RESNET)]
    recipe = Recipe.of((RenameTable(tuple(table)), Keep("new.*"), StripPrefix("new.")))
    fit, _ = repaired(file, recipe)
    assert fit.match.fits
    assert not fit.fits
    assert "two copies of one network" in fit.doubts[0].sentence


def test_a_head_that_two_copies_share_goes_with_the_weights(saved: Saved, lookup: Lookup) -> None:
    body = {key: value for key, value in resnet(1).items() if not key.startswith("fc.")}
    head = {key: value for key, value in resnet(1).items() if key.startswith("fc.")}
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


@pytest.mark.parametrize(
    ("name", "seed"), [("starnet_s050", 5), ("starnet_s050", 6), ("seresnext26t_32x4d", 7)]
)
def test_the_gaps_of_a_copy_are_not_filled_from_another(
    lookup: Lookup, name: str, seed: int
) -> None:
    chance = random.Random(seed)
    wanted = signature(Architecture("timm", name))
    file = state_dict_of(
        {
            f"{place}.backbone.{key}": spec.shape
            for place in ("student", "teacher")
            for key, spec in wanted.items()
            if chance.random() > 0.1
        }
    )
    best = identify(file, lookup).candidates[0]
    assert best.architecture.name == name
    after = apply_recipe(best.recipe, file, wanted).state_dict
    assert len(after) < len(wanted)
    places = {entry.origin.removesuffix(f".{key}") for key, entry in after.items()}
    assert places in ({"student.backbone"}, {"teacher.backbone"})


@pytest.mark.parametrize("place", ["grads", "optimizer.exp_avg", "fisher"])
def test_gradients_and_what_an_optimizer_keeps_are_no_copy(saved: Saved, place: str) -> None:
    weights = resnet()
    gradients = {
        f"{place}.{key}": torch.randn_like(value)
        for key, value in weights.items()
        if "running" not in key and "batches" not in key
    }
    assert copies_of(saved(gradients | prefixed("params.", weights)), RESNET) == ()
