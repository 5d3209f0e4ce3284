"""Proposals: the fixes that real files need, found from the keys alone."""

from collections.abc import Callable

import pytest
import timm
import torch
from torch import nn
from torchvision.models import densenet121, resnet18, squeezenet1_1

from core.architectures import Signature
from core.checkpoint import StateDict
from core.fit.architecture_options import propose_num_classes
from core.fit.key_match import match
from core.fit.proposals import Proposal, propose
from core.fixes import (
    AdaptInput,
    AddPrefix,
    Drop,
    DropMismatched,
    Fix,
    Keep,
    Recipe,
    Rename,
    ResamplePositions,
    StripPrefix,
)
from core.recipe import apply_recipe
from tests.core.plain_torch import file_of, signature_of


def taken(proposal: Proposal, file: StateDict, wanted: Signature | None = None) -> StateDict:
    return apply_recipe(Recipe.of(proposal.fixes), file, wanted).state_dict


WANTED = signature_of(resnet18())
WEIGHTS = resnet18().state_dict()


def renamed(rename: Callable[[str], str]) -> StateDict:
    return file_of({rename(key): value for key, value in WEIGHTS.items()})


def in_layers(part: str) -> StateDict:
    """A file where every block of the four stages is wrapped."""
    return renamed(lambda key: key.replace(".", f".{part}", 1) if "layer" in key else key)


@pytest.mark.parametrize(
    ("file", "fixes"),
    [
        pytest.param(
            file_of(nn.DataParallel(resnet18()).state_dict()),
            (StripPrefix("module."),),
            id="field_1_data_parallel",
        ),
        pytest.param(
            in_layers("module."),
            (StripPrefix("module.", anywhere=True),),
            id="field_1_in_the_middle_of_the_path",
        ),
        pytest.param(
            renamed(lambda key: f"_orig_mod.module.{key}"),
            (StripPrefix("_orig_mod.module."),),
            id="field_2_compiled_after_parallel",
        ),
        pytest.param(
            renamed(lambda key: f"module._orig_mod.{key}"),
            (StripPrefix("module._orig_mod."),),
            id="field_2_parallel_after_compiled",
        ),
        pytest.param(
            in_layers("_orig_mod.module."),
            (StripPrefix("_orig_mod.module.", anywhere=True),),
            id="field_2_both_in_the_middle",
        ),
        pytest.param(
            renamed(lambda key: "module." + key.replace("1.0.", "1.0._orig_mod.")),
            (StripPrefix("module.", anywhere=True), StripPrefix("_orig_mod.", anywhere=True)),
            id="field_2_one_outside_and_one_in_the_middle",
        ),
        pytest.param(
            renamed(lambda key: f"resnet.{key}"), (StripPrefix("resnet."),), id="a_name_of_ones_own"
        ),
        pytest.param(
            renamed(lambda key: f"module.resnet.{key}"),
            (StripPrefix("module.resnet."),),
            id="a_name_of_ones_own_in_a_wrapper",
        ),
    ],
)
def test_the_wrapper_of_a_file_is_found(file: StateDict, fixes: tuple[Fix, ...]) -> None:
    best = propose(file, WANTED)[0]
    assert best.fixes == fixes
    assert (best.after, best.total) == (122, 122)
    assert match(taken(best, file), WANTED).fits


def test_a_proposal_says_what_it_gains() -> None:
    (best, *_) = propose(renamed(lambda key: f"module.{key}"), WANTED)
    assert best.sentence == "strip `module.`: 0 → 122 of 122 keys"


def test_a_file_that_fits_needs_nothing() -> None:
    assert propose(file_of(WEIGHTS), WANTED) == ()


def test_field_27_absent_batch_counters_do_not_hide_that_a_fix_makes_it_fit() -> None:
    file = file_of(
        {f"module.{key}": value for key, value in WEIGHTS.items() if "num_batches" not in key}
    )
    best = propose(file, WANTED)[0]
    assert (best.before, best.after, best.total) == (0, 102, 102)


def test_a_momentum_encoder_is_taken_out_of_its_checkpoint() -> None:
    file = file_of(
        {
            **{f"module.encoder_q.{key}": value for key, value in WEIGHTS.items()},
            **{f"module.encoder_k.{key}": value for key, value in WEIGHTS.items()},
            "module.queue": torch.zeros(128, 64),
        }
    )
    first, second, *_ = propose(file, WANTED)
    for proposal, name in ((first, "encoder_q"), (second, "encoder_k")):
        assert proposal.fixes == (Keep(f"module.{name}.*"), StripPrefix(f"module.{name}."))
        assert match(taken(proposal, file), WANTED).fits
        assert "contains this model 2 times" in proposal.why


def test_a_prefix_that_the_file_lacks_is_added() -> None:
    wanted = {f"backbone.{key}": spec for key, spec in WANTED.items()}
    assert propose(file_of(WEIGHTS), wanted)[0].fixes == (AddPrefix("backbone."),)


def test_one_prefix_is_exchanged_for_another() -> None:
    wanted = {f"backbone.{key}": spec for key, spec in WANTED.items()}
    best = propose(renamed(lambda key: f"model.{key}"), wanted)[0]
    assert best.fixes == (Rename(r"^model\.", "backbone."),)
    assert best.after == 122


def test_densenets_old_names_are_known() -> None:
    model = densenet121()
    wanted = signature_of(model)
    old = {
        key.replace("norm1", "norm.1")
        .replace("norm2", "norm.2")
        .replace("conv1", "conv.1")
        .replace("conv2", "conv.2"): value
        for key, value in model.state_dict().items()
    }
    best = propose(file_of(old), wanted)[0]
    assert best.after == best.total == len(wanted)


def test_field_3_a_head_of_another_shape_can_be_dropped() -> None:
    (proposal,) = propose(file_of(resnet18(num_classes=10).state_dict()), WANTED)
    assert proposal.fixes == (DropMismatched(),)
    assert proposal.sentence == (
        "drop what has another shape: 2 keys dropped, 120 of 122 keys match"
    )


@pytest.mark.parametrize(
    ("extra", "fix"),
    [
        (["fc2.weight", "fc2.bias"], Drop("fc2.*")),
        (["queue"], Drop("queue")),
        (["layer1.extra.0.weight"], Drop("layer1.extra.*")),
        (["queue", "fc2.weight"], Drop(r"^(?:queue$|fc2\.)", "regex")),
        (["conv1.total_ops", "bn1.total_ops", "fc.total_ops"], Drop("*.total_ops")),
        (
            ["total_ops", "conv1.total_ops", "bn1.total_ops", "fc.total_ops"],
            Drop(r"(?:^|\.)(?:total_ops)$", "regex"),
        ),
    ],
)
def test_what_is_unexpected_can_be_dropped_by_one_fix(extra: list[str], fix: Fix) -> None:
    file = file_of({**WEIGHTS, **{key: torch.zeros(1) for key in extra}})
    (proposal,) = propose(file, WANTED)
    assert proposal.fixes == (fix,)
    repaired = apply_recipe(Recipe.of(proposal.fixes), file).state_dict
    assert list(repaired) == list(WEIGHTS)


def test_field_4_nothing_is_proposed_for_another_network() -> None:
    assert propose(file_of(squeezenet1_1().state_dict()), WANTED) == ()
    assert propose(StateDict([]), WANTED) == ()


def test_proposals_come_by_what_they_gain_and_say_why() -> None:
    file = file_of(
        {
            **{f"module.{key}": value for key, value in WEIGHTS.items() if "layer4" not in key},
            **{f"net.{key}": value for key, value in WEIGHTS.items() if "layer4" in key},
            "module.queue": torch.zeros(1),
        }
    )
    proposals = propose(file, WANTED)
    whole, *others = proposals
    both = (StripPrefix("module.", anywhere=True), StripPrefix("net.", anywhere=True))
    assert whole.fixes == (*both, Drop("queue"))
    assert [one.fixes for one in others] == [both, (StripPrefix("module."),)]
    assert [one.after for one in proposals] == [122, 122, 92]
    assert all(one.why.endswith(".") for one in proposals)


def test_every_renaming_proposed_makes_more_keys_match() -> None:
    half = {
        (f"module.{key}" if i % 2 else key): value for i, (key, value) in enumerate(WEIGHTS.items())
    }
    (best, *_) = propose(file_of(half), WANTED)
    assert best.fixes == (StripPrefix("module."),)
    assert (best.before, best.after) == (61, 122)


def test_a_hostile_key_of_many_parts_is_no_trouble() -> None:
    deep = file_of({".".join(["module"] * 2000): torch.zeros(1), **WEIGHTS})
    assert propose(deep, WANTED)


@pytest.mark.parametrize("sets", ["a", "ab"], ids=["once", "twice"])
@pytest.mark.parametrize("length", [900, 1100])
def test_a_prefix_too_long_for_a_recipe_is_not_proposed(length: int, sets: str) -> None:
    file = file_of(
        {f"{'x' * length}.{one}.{key}": value for key, value in WEIGHTS.items() for one in sets}
    )
    proposals = propose(file, WANTED)
    assert all(taken(proposal, file) for proposal in proposals)
    assert any(StripPrefix in map(type, one.fixes) for one in proposals) == (length == 900)


def test_position_embeddings_are_not_taken_for_a_convolution() -> None:
    with torch.device("meta"):
        file = file_of(timm.create_model("test_vit", img_size=96, in_chans=1).state_dict())
        wanted = signature_of(timm.create_model("test_vit"))
    first, *_ = propose(file, wanted)
    assert set(first.fixes) == {AdaptInput("patch_embed.proj.weight"), ResamplePositions()}
    assert match(taken(first, file, wanted), wanted).fits


@pytest.mark.parametrize("prefix", ["", "module.", "module.resnet."])
def test_the_number_of_classes_is_read_from_the_head(prefix: str) -> None:
    weights = resnet18(num_classes=37).state_dict()
    file = file_of({prefix + key: value for key, value in weights.items()})
    assert propose_num_classes(file, WANTED) == 37


def test_the_number_of_classes_is_read_from_a_head_that_is_a_convolution() -> None:
    file = file_of(squeezenet1_1(num_classes=12).state_dict())
    assert propose_num_classes(file, signature_of(squeezenet1_1())) == 12


def test_the_number_of_classes_is_read_from_a_head_of_another_name() -> None:
    weights = resnet18(num_classes=7).state_dict()
    file = file_of({key.replace("fc.", "head."): value for key, value in weights.items()})
    assert propose_num_classes(file, WANTED) == 7


def test_a_backbone_without_a_head_has_no_number_of_classes() -> None:
    headless = {key: value for key, value in WEIGHTS.items() if not key.startswith("fc.")}
    assert propose_num_classes(file_of(headless), WANTED) is None
    assert propose_num_classes(StateDict([]), WANTED) is None
