"""The best repair: the whole way to a fit by itself, and nothing that is not asked for."""

import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import nn
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import Bottleneck, ResNet

from core.architectures import Signature, TensorSpec
from core.checkpoint import StateDict
from core.fit.key_match import Match, match
from core.fit.proposals import propose
from core.fit.proposals.whole_repairs import best_repair
from core.fixes import (
    AdaptInput,
    AddBatchStatistics,
    Drop,
    DropMismatched,
    Recipe,
    RenameTable,
    StripPrefix,
)
from core.keys import WRAPPERS
from core.recipe import apply_recipe, recipe_from_json, recipe_to_json
from tests.core.plain_torch import file_of, signature_of

with torch.device("meta"):
    WEIGHTS = resnet18().state_dict()
    WANTED = signature_of(resnet18())
    SMALL = timm.create_model("test_resnet").state_dict()
    SMALL_WANTED = signature_of(timm.create_model("test_resnet"))


def repaired(file: StateDict, wanted: Signature) -> StateDict:
    return apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict


def kinds(recipe: Recipe) -> list[type]:
    return [type(step.fix) for step in recipe.steps]


def test_every_trouble_at_once_is_repaired_in_steps_that_clear_the_way_last() -> None:
    with torch.device("meta"):
        trained = resnet18(num_classes=10)
        trained.conv1 = nn.Conv2d(1, 64, 7, bias=False)
    weights = {f"module.{key}": value for key, value in trained.state_dict().items()}
    file = file_of({**weights, "module.queue": torch.zeros(3), "module.queue_ptr": torch.zeros(1)})
    recipe = best_repair(file, WANTED).recipe
    assert kinds(recipe) == [StripPrefix, AdaptInput, DropMismatched, Drop]
    found = match(repaired(file, WANTED), WANTED)
    assert found.missing_keys == ("fc.weight", "fc.bias")
    assert found.unexpected_keys == found.mismatched == ()
    first, *_ = propose(file, WANTED)
    assert [step.fix for step in recipe.steps] == list(first.fixes)
    assert (first.before, first.after) == (0, 120)


def test_a_layer_of_another_width_is_no_input_convolution() -> None:
    with torch.device("meta"):
        narrow = ResNet(Bottleneck, [3, 4, 6, 3], width_per_group=32).state_dict()
        wanted = signature_of(resnet50())
    assert AdaptInput not in kinds(best_repair(file_of(narrow), wanted).recipe)
    assert all(AdaptInput not in map(type, each.fixes) for each in propose(file_of(narrow), wanted))

    one = {**WEIGHTS, "layer3.0.conv2.weight": torch.empty(256, 128, 3, 3, device="meta")}
    assert not match(repaired(file_of(one), WANTED), WANTED).fits


def test_each_convolution_that_takes_the_image_is_adapted_and_no_other() -> None:
    with torch.device("meta"):
        weights = timm.create_model("repvgg_a0", in_chans=1).state_dict()
        wanted = signature_of(timm.create_model("repvgg_a0"))
    weights["stages.0.0.conv_kxk.conv.weight"] = torch.empty(48, 24, 3, 3, device="meta")
    recipe = best_repair(file_of(weights), wanted).recipe
    adapted = [step.fix.pattern for step in recipe.steps if isinstance(step.fix, AdaptInput)]
    assert adapted == ["stem.conv_kxk.conv.weight", "stem.conv_1x1.conv.weight"]


def test_what_fits_needs_no_repair() -> None:
    assert best_repair(file_of(WEIGHTS), WANTED).recipe == Recipe()


def test_for_another_network_nothing_is_done() -> None:
    with torch.device("meta"):
        other = timm.create_model("test_vit").state_dict()
    assert best_repair(file_of(other), WANTED).recipe == Recipe()
    assert best_repair(StateDict([]), WANTED).recipe == Recipe()
    assert best_repair(file_of(WEIGHTS), {}).recipe == Recipe()


def test_names_that_say_nothing_of_each_other_are_aligned() -> None:
    words = {"conv1": "c", "bn1": "n", "layer1": "first", "conv2": "d", "bn2": "m", "fc": "out"}
    file = file_of(
        {".".join(words.get(part, part) for part in key.split(".")): v for key, v in SMALL.items()}
    )
    recipe = best_repair(file, SMALL_WANTED).recipe
    assert RenameTable in kinds(recipe)
    assert match(repaired(file, SMALL_WANTED), SMALL_WANTED).fits


def test_nothing_is_made_up_for_what_the_file_lacks() -> None:
    weights = {key: value for key, value in WEIGHTS.items() if ".running_" not in key}
    file = file_of({f"module.{key}": value for key, value in weights.items()})
    assert AddBatchStatistics not in kinds(best_repair(file, WANTED).recipe)


def test_the_same_file_gets_the_same_recipe_and_it_survives_json() -> None:
    file = file_of({f"net._orig_mod.{key}": value for key, value in reversed(WEIGHTS.items())})
    recipe = best_repair(file, WANTED).recipe
    assert all(best_repair(file, WANTED).recipe == recipe for _ in range(3))
    assert recipe_from_json(recipe_to_json(recipe)) == recipe


WRAPPED = some.lists(
    some.tuples(some.sampled_from(WRAPPERS[:4]), some.sampled_from(["", "layer1", "layer4.0"])),
    max_size=5,
)


@settings(deadline=None, max_examples=40)
@given(WRAPPED, some.sampled_from(["", "resnet.", "student.net."]))
def test_field_2_wrappers_at_any_depth_in_any_order_come_off(
    wrappers: list[tuple[str, str]], outside: str
) -> None:
    def rename(key: str) -> str:
        for wrapper, where in wrappers:
            if where and key.startswith(f"{where}."):
                key = key.replace(f"{where}.", f"{where}.{wrapper}.", 1)
            elif not where:
                key = f"{wrapper}.{key}"
        return outside + key

    file = file_of({rename(key): value for key, value in WEIGHTS.items()})
    assert match(repaired(file, WANTED), WANTED).fits


def in_the_way(found: Match) -> int:
    return len(found.unexpected_keys) + len(found.mismatched)


PARTS = some.sampled_from(["module", "model", "ema", "layer1", "0", "conv1", "bn1", "weight", "q"])
KEYS = some.lists(PARTS, min_size=1, max_size=4).map(".".join)
SHAPES = some.sampled_from([(), (1,), (2, 3), (3, 2), (2, 3, 1, 1), (4, 1, 3, 3), (4, 3, 3, 3)])


@settings(deadline=None, max_examples=150)
@given(some.dictionaries(KEYS, SHAPES, max_size=12), some.dictionaries(KEYS, SHAPES, max_size=12))
def test_whatever_the_keys_a_repair_makes_nothing_worse_and_says_what_it_does(
    found: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]
) -> None:
    file = file_of({key: torch.empty(shape) for key, shape in found.items()})
    signature = {key: TensorSpec(shape, "float32", "parameter") for key, shape in wanted.items()}
    before, after = match(file, signature), match(repaired(file, signature), signature)
    assert len(after.matched) >= len(before.matched)
    assert after.coverage_parameters >= before.coverage_parameters
    assert in_the_way(after) <= in_the_way(before)
    for proposal in propose(file, signature):
        steps = Recipe.of(proposal.fixes)
        made = match(apply_recipe(steps, file, signature).state_dict, signature)
        assert (proposal.before, proposal.after) == (len(before.matched), len(made.matched))
        assert proposal.sentence
        assert proposal.why
