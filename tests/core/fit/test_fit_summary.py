"""A match in words and lines."""

from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import resnet18

from core.architectures import Architecture, signature
from core.checkpoint import StateDict, open_checkpoint
from core.fit.fit_summary import fit_verdict, initialised, obstacle, option_hint
from core.fit.fitness import fit_of
from core.fit.key_match import match
from core.fit.proposals import propose

NETWORK = Architecture("torchvision", "resnet18", (("num_classes", 10),))


@pytest.fixture
def saved(tmp_path: Path):
    def save(state_dict: object) -> StateDict:
        torch.save(state_dict, tmp_path / "saved.pth")
        return open_checkpoint(tmp_path / "saved.pth").state_dict()

    return save


def test_the_verdict_names_the_fix_that_helps_most(saved):
    wrapped = saved(torch.nn.DataParallel(resnet18(num_classes=10)).state_dict())
    wanted = signature(NETWORK)
    said = fit_verdict(fit_of(wrapped, wrapped, wanted), propose(wrapped, wanted))
    assert said == "Does not fit: 0 of 122 keys match. Strip `module.`, and 122 of 122 keys match."


def test_the_verdict_on_a_fit_is_short(saved):
    file = saved(resnet18(num_classes=10).state_dict())
    fit = fit_of(file, file, signature(NETWORK))
    assert fit_verdict(fit) == "Fits: 122 of 122 keys."
    named = "Fits torchvision resnet18 (num_classes=10): 122 of 122 keys."
    assert fit_verdict(fit, architecture=NETWORK) == named
    assert obstacle(fit.match, (), strict=True) is None


def test_absent_batch_counters_are_harmless_and_a_class_of_their_own(saved):
    weights = resnet18(num_classes=10).state_dict()
    old = saved({k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")})
    found = match(old, signature(NETWORK))
    harmless = "Fits: 102 of 102 keys. 20 batch counters are absent, which is harmless."
    assert fit_verdict(fit_of(old, old, signature(NETWORK))) == harmless
    assert (len(found.benign), len(found.matched)) == (20, 102)


def test_absent_buffers_that_the_network_computes_are_told_apart_from_batch_counters(saved):
    model = timm.create_model("efficientformer_l1", num_classes=3)
    weights = model.state_dict()
    wanted = signature(Architecture("timm", "efficientformer_l1", (("num_classes", 3),)))
    computed = saved({k: v for k, v in weights.items() if "attention_bias_idxs" not in k})
    assert fit_verdict(fit_of(computed, computed, wanted)).endswith(
        " 1 buffer that the model computes itself is absent, which is harmless."
    )
    harmless = ("attention_bias_idxs", "num_batches_tracked")
    counters = sum(key.endswith("num_batches_tracked") for key in weights)
    both = saved({k: v for k, v in weights.items() if not k.endswith(harmless)})
    assert fit_verdict(fit_of(both, both, wanted)).endswith(
        f" {counters} batch counters and 1 buffer that the model computes itself are absent, "
        "which is harmless."
    )


def test_two_hundred_keys_that_stay_as_initialised_read_as_a_few_lines(saved):
    wanted = signature(NETWORK)
    empty = saved({"fc.weight": torch.zeros(10, 512)})
    lines = initialised(match(empty, wanted), wanted)
    assert len(lines) < 20
    assert sum(len(line.keys) for line in lines) == 121


def test_what_a_partial_load_leaves_out_is_missing_and_mismatched_keys(saved):
    weights = {k: v for k, v in resnet18().state_dict().items() if not k.startswith("conv1")}
    left = initialised(match(saved(weights), signature(NETWORK)), signature(NETWORK))
    assert [line.title for line in left] == ["conv1.weight", "fc.{weight,bias}"]


def test_an_option_that_would_suit_the_file_is_named(saved):
    found = match(saved(resnet18().state_dict()), signature(NETWORK))
    assert option_hint(found, signature(NETWORK)).startswith(
        "The file's head has 1\u202f000 classes, the model's 10: set num_classes=1000"
    )
    fit = match(saved(resnet18(num_classes=10).state_dict()), signature(NETWORK))
    assert option_hint(fit, signature(NETWORK)) == ""


def test_a_repair_of_many_steps_is_told_by_their_number(saved):
    weights = {f"module.{k}": v for k, v in resnet18(num_classes=9).state_dict().items()}
    file = saved({**weights, "module.queue": torch.zeros(1)})
    wanted = signature(NETWORK)
    said = fit_verdict(fit_of(file, file, wanted), propose(file, wanted))
    assert said.endswith("Repair it in 3 steps, and 120 of 122 keys match.")


def test_what_stands_in_the_way_of_a_load_is_said(saved):
    headless = {k: v for k, v in resnet18().state_dict().items() if not k.startswith("fc")}
    found = match(saved(headless), signature(NETWORK))
    assert "partial" in (obstacle(found, (), strict=True) or "")
    assert obstacle(found, (), strict=False) is None
    assert "Step 2" in (obstacle(found, (1,), strict=False) or "")
    nothing = match(saved({"a": torch.zeros(1)}), signature(NETWORK))
    assert "No key matches" in (obstacle(nothing, (), strict=False) or "")
