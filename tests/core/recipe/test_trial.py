"""A recipe shown step by step."""

from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from core.architectures import TensorSpec
from core.checkpoint import StateDict, open_checkpoint
from core.fixes import (
    AddBatchStatistics,
    CastDtype,
    Drop,
    DropMismatched,
    Fuse,
    Keep,
    Recipe,
    Rename,
    RenameTable,
    Split,
    Step,
    StripPrefix,
    Transpose,
)
from core.recipe import Change, apply_recipe, try_recipe
from core.recipe.trial import MAX_CHANGES


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory: pytest.TempPathFactory) -> StateDict:
    path: Path = tmp_path_factory.mktemp("trial") / "wrapped.pth"
    torch.save(torch.nn.DataParallel(resnet18()).state_dict(), path)
    return open_checkpoint(path).state_dict()


def test_each_step_tells_what_it_does_with_an_example(wrapped: StateDict):
    recipe = Recipe((Step(StripPrefix("module.")), Step(Drop("fc.*")), Step(CastDtype("float16"))))
    stripped, dropped, cast = try_recipe(recipe, wrapped).outcomes
    assert (stripped.changed, stripped.dropped) == (122, 0)
    assert stripped.example == ("module.conv1.weight", "conv1.weight")
    assert (dropped.changed, dropped.dropped) == (0, 2)
    assert dropped.example == ("fc.weight", "")
    assert cast.example == ("conv1.weight: float32", "conv1.weight: float16")


def test_every_change_of_a_step_is_told_before_and_after(wrapped: StateDict):
    recipe = Recipe(
        (
            Step(StripPrefix("module.")),
            Step(Keep("fc.*")),
            Step(CastDtype("float16")),
            Step(Drop("x")),
        )
    )
    stripped, kept, cast, nothing = try_recipe(recipe, wrapped).outcomes
    assert stripped.total == len(stripped.changes) == 122
    assert stripped.changes == tuple(
        Change("renamed", (f"module.{key}",), (key,)) for key in resnet18().state_dict()
    )
    assert kept.total == 120
    assert kept.changes[0] == Change("dropped", ("conv1.weight",), ())
    assert cast.changes == (
        Change(
            "changed", ("fc.weight",), ("fc.weight",), "1000 × 512 float32", "1000 × 512 float16"
        ),
        Change("changed", ("fc.bias",), ("fc.bias",), "1000 float32", "1000 float16"),
    )
    assert (nothing.total, nothing.changes) == (0, ())


def test_keys_that_change_places_are_told_apart(wrapped: StateDict):
    table = RenameTable(
        (("module.fc.weight", "module.fc.bias"), ("module.fc.bias", "module.fc.weight"))
    )
    (outcome,) = try_recipe(Recipe((Step(table),)), wrapped).outcomes
    assert outcome.changes == (
        Change("renamed", ("module.fc.weight",), ("module.fc.bias",)),
        Change("renamed", ("module.fc.bias",), ("module.fc.weight",)),
    )


def test_tensors_that_are_split_joined_added_or_turned_are_told_with_their_shapes(tmp_path: Path):
    path = tmp_path / "attention.pth"
    torch.save(
        {
            "attn.qkv.weight": torch.zeros(6, 4),
            "fc.weight": torch.zeros(3, 2),
            "bn.weight": torch.zeros(2),
        },
        path,
    )
    wanted = {
        "bn.weight": TensorSpec((2,), "float32", "parameter"),
        "bn.running_mean": TensorSpec((2,), "float32", "buffer"),
    }
    recipe = Recipe(
        (
            Step(Split("qkv", ("q", "k", "v"))),
            Step(Rename("attn", "attention")),
            Step(Fuse(("k", "v"), "kv")),
            Step(Transpose("fc.weight")),
            Step(AddBatchStatistics()),
        )
    )
    split, moved, joined, turned, added = (
        outcome.changes
        for outcome in try_recipe(recipe, open_checkpoint(path).state_dict(), wanted).outcomes
    )
    parts = tuple(f"attn.{part}.weight" for part in "qkv")
    new = tuple(f"attention.{part}.weight" for part in "qkv")
    was, now = "6 × 4 float32", "2 × 4 float32"
    assert split == (Change("split", ("attn.qkv.weight",), parts, was, now),)
    assert moved == tuple(
        Change("renamed", (old,), (key,)) for old, key in zip(parts, new, strict=True)
    )
    assert joined == (
        Change("joined", new[1:], ("attention.kv.weight",), "2 × 4 float32", "4 × 4 float32"),
    )
    assert turned == (
        Change("changed", ("fc.weight",), ("fc.weight",), "3 × 2 float32", "2 × 3 float32"),
    )
    assert added == (Change("added", (), ("bn.running_mean",), "", "2 float32"),)


def test_more_changes_than_are_kept_are_still_counted(tmp_path: Path):
    path = tmp_path / "many.pth"
    torch.save({f"module.{i}": torch.zeros(1) for i in range(MAX_CHANGES + 7)}, path)
    recipe = Recipe((Step(StripPrefix("module.")),))
    (outcome,) = try_recipe(recipe, open_checkpoint(path).state_dict()).outcomes
    assert (len(outcome.changes), outcome.total) == (MAX_CHANGES, MAX_CHANGES + 7)


def test_a_trial_makes_what_the_recipe_makes(wrapped: StateDict):
    recipe = Recipe((Step(StripPrefix("module.")), Step(Keep("layer1.*")), Step(Drop("*.bias"))))
    assert dict(try_recipe(recipe, wrapped).state_dict) == dict(
        apply_recipe(recipe, wrapped).state_dict
    )


def test_a_step_that_cannot_be_applied_says_why_and_the_others_still_work(wrapped: StateDict):
    recipe = Recipe((Step(Rename("(", "x")), Step(StripPrefix("module.")), Step(DropMismatched())))
    trial = try_recipe(recipe, wrapped)
    assert trial.failed == (0, 2)
    assert "`(`" in str(trial.outcomes[0].error)
    assert trial.outcomes[1].changed == 122
    assert "conv1.weight" in trial.state_dict


def test_a_step_that_is_switched_off_does_nothing_and_cannot_fail(wrapped: StateDict):
    trial = try_recipe(Recipe((Step(Rename("(", "x"), enabled=False),)), wrapped)
    assert trial.failed == ()
    assert trial.state_dict is wrapped
