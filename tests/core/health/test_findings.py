"""What a scan says is true of the file: each sentence, also where a file is made to belie it."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torch.nn.utils import prune

from core.checkpoint import Quantized, StateDict, open_checkpoint
from core.health import Check, Health, count_words, health_verdict, result_words, scan
from core.wording import THIN
from tests.core.odd_tensors import ODD

Scanned = Callable[[object], Health]


@pytest.fixture
def scanned(tmp_path: Path) -> Scanned:
    numbers = itertools.count()

    def scan_saved(tensors: object) -> Health:
        path = tmp_path / f"{next(numbers)}.pth"
        torch.save(tensors, path)
        return scan(open_checkpoint(path).state_dict())

    return scan_saved


def words(health: Health, check: Check) -> dict[str, str]:
    return {
        finding.key: f"{finding.words}{f', {finding.usual}' if finding.usual else ''}"
        for finding in health.result(check).findings
    }


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 5))
    layers(torch.randn(4, 3, 3, 3))
    for parameter in layers[1].parameters():
        nn.init.normal_(parameter)
    return layers


def test_a_trained_network_has_no_anomalies(scanned: Scanned) -> None:
    health = scanned(network().state_dict())
    assert health_verdict(health) == "no anomalies"
    assert health.is_complete
    assert health.anomalies == 0
    assert [(result.check, count_words(result)) for result in health.results] == [
        (Check.NOT_FINITE, f"0 of {216 + 8 + 32 + 45}"),
        (Check.ZERO, "0 of 8"),  # without num_batches_tracked
        (Check.CONSTANT, "0 of 8"),
        (Check.DEAD, "0 of 13"),
        (Check.EXTREME, f"0 of {216 + 8 + 16 + 45}"),  # without BatchNorm's statistics
        (Check.VARIANCE, "0 of 8"),
    ]


def test_what_a_new_network_has_is_usual_and_counted(scanned: Scanned) -> None:
    """A count is of all that is there, also of what is usual: `0 of 2` would be false."""
    health = scanned(nn.BatchNorm2d(8).state_dict())
    assert health_verdict(health) == "no anomalies"
    assert words(health, Check.ZERO) == {
        "bias": "all 8 values are zero, as biases often start out",
        "running_mean": "all 8 values are zero, as norm statistics start out",
    }
    assert words(health, Check.CONSTANT) == {
        "weight": "all 8 values are 1, as norms start out",
        "running_var": "all 8 values are 1, as norm statistics start out",
    }
    assert result_words(health.result(Check.ZERO)) == "2 of 4 tensors, as is usual there"
    assert health.result(Check.ZERO).keys == ("bias", "running_mean")


def test_zero_initialized_gammas_are_zero_and_not_called_broken(scanned: Scanned) -> None:
    block = nn.ModuleDict({"conv": nn.Conv2d(4, 4, 3, bias=False), "bn2": nn.BatchNorm2d(4)})
    nn.init.zeros_(block["bn2"].weight)  # type: ignore[arg-type]
    health = scanned({f"layer1.0.{key}": value for key, value in block.state_dict().items()})
    usual = "as the last scale of a residual branch often starts out"
    assert words(health, Check.ZERO)["layer1.0.bn2.weight"] == f"all 4 values are zero, {usual}"
    assert health_verdict(health) == "no anomalies"


def test_the_worst_comes_first_in_the_verdict(scanned: Scanned) -> None:
    state = network().state_dict()
    state["3.weight"][0] = 0
    assert health_verdict(scanned(state)) == "1 output channel is zero throughout"
    state["0.weight"][0, 0, 0, 0] = 1e4
    verdict = "1 tensor holds values above 100 in magnitude, 1 output channel is zero throughout"
    assert health_verdict(scanned(state)) == verdict
    state["1.running_var"][:2] = torch.tensor([-1.0, 0.0])
    assert health_verdict(scanned(state)).startswith("1 tensor holds negative variances, 1 tensor")
    state["0.weight"][1, 0, 0, 0] = torch.nan
    state["3.bias"][1] = torch.inf
    health = scanned(state)
    assert health_verdict(health) == (
        "2 tensors hold NaN or Inf, 1 tensor holds negative variances, and 2 more kinds"
    )
    assert words(health, Check.NOT_FINITE) == {
        "0.weight": "1 is NaN, of 216 values",
        "3.bias": "1 is Inf, of 5 values",
    }
    assert words(health, Check.VARIANCE) == {
        "1.running_var": "1 is negative and 1 is near zero (below 1e-8), of 8 variances"
    }
    assert health.result(Check.NOT_FINITE).keys == ("0.weight", "3.bias")


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(torch.nan, "2 tensors hold NaN"), (-torch.inf, "2 tensors hold Inf")],
)
def test_a_verdict_names_what_is_there_and_no_more(
    scanned: Scanned, value: float, verdict: str
) -> None:
    tensors = {f"{n}.weight": torch.randn(3, 3).half() for n in range(3)}
    tensors["0.weight"][0, 0] = tensors["2.weight"][0, 0] = value
    assert health_verdict(scanned(tensors)) == verdict


def test_nothing_is_called_sound_that_was_not_checked(scanned: Scanned) -> None:
    unread = {
        "sparse.weight": ODD["coo"],
        "nested.weight": ODD["nested"],
        "meta.weight": torch.empty(3, 3, device="meta"),
        "packed.weight": torch.zeros(6, 2, dtype=torch.uint8),
        "int8.weight": torch.zeros(6, 2, dtype=torch.int8),
        "table.weight": torch.zeros(6, dtype=torch.int64),
        "bits.weight": torch.zeros(4, dtype=torch.uint8).view(torch.bits8),
    }
    health = scanned({"w": torch.randn(4, 4), **unread})
    assert health_verdict(health) == "no anomalies in 1 tensor, 7 not checked"
    assert [left.key for left in health.unchecked] == list(unread)
    assert health.result(Check.ZERO).of == 1
    assert all(left.reason for left in health.unchecked)
    assert health_verdict(scanned(unread)) == "not checked"


def test_no_check_is_about_counters_masks_and_empty_tensors(scanned: Scanned) -> None:
    exempt = {
        "num_batches_tracked": torch.tensor(0),
        "position_ids": torch.arange(4)[None],
        "causal": torch.ones(3, 3, dtype=torch.bool),
        "step": torch.tensor(7),
        "none": torch.zeros(0, 4),
    }
    health = scanned({"w": torch.randn(4, 4), **exempt})
    assert [left.key for left in health.exempt] == list(exempt)
    assert health_verdict(health) == "no anomalies"
    assert (health.tensors, health.checked) == (6, 1)
    assert health_verdict(scanned(exempt)) == "no weights to check"


def test_what_a_check_is_not_about_is_not_zero_of_something(scanned: Scanned) -> None:
    health = scanned({"token": torch.randn(1)})
    assert count_words(health.result(Check.VARIANCE)) == "none here"
    assert result_words(health.result(Check.DEAD)) == "no output channel to check"
    assert result_words(health.result(Check.CONSTANT)) == "no tensor to check"


def test_tied_tensors_count_under_each_key(scanned: Scanned) -> None:
    shared = torch.randn(6, 4)
    shared[2] = torch.nan
    shared[0] = 0
    health = scanned({"embed.weight": shared, "lm_head.weight": shared})
    assert words(health, Check.NOT_FINITE) == dict.fromkeys(
        ("embed.weight", "lm_head.weight"), "4 are NaN, of 24 values"
    )
    assert health.result(Check.NOT_FINITE).of == 48
    # An embedding's rows are words, of which one of zeros is the padding.
    assert list(words(health, Check.DEAD)) == ["lm_head.weight"]
    assert health.result(Check.DEAD).of == 6


def test_a_padding_row_of_an_embedding_is_no_dead_channel(scanned: Scanned) -> None:
    embedding = nn.Embedding(10, 4, padding_idx=0)
    health = scanned({f"word_embeddings.{k}": v for k, v in embedding.state_dict().items()})
    assert not health.result(Check.DEAD).of


def test_output_channels_of_transposed_layers_are_their_columns(scanned: Scanned) -> None:
    up = nn.ConvTranspose2d(6, 4, 2)
    with torch.no_grad():
        up.weight[0] = 0  # an input channel
        up.weight[:, 3] = 0
    gpt = {"c_fc.weight": torch.randn(5, 20), "c_fc.bias": torch.randn(20)}
    gpt["c_fc.weight"][2] = 0
    health = scanned({**{f"up.{key}": value for key, value in up.state_dict().items()}, **gpt})
    assert words(health, Check.DEAD) == {
        "up.weight": "1 of 4 output channels (columns of the weight) is zero throughout"
    }
    assert health.result(Check.DEAD).of == 24


def test_a_weight_whose_bias_fits_no_side_has_no_channels_to_count(scanned: Scanned) -> None:
    grouped = nn.ConvTranspose2d(8, 6, 2, groups=2)
    assert (
        not scanned({f"up.{k}": v for k, v in grouped.state_dict().items()}).result(Check.DEAD).of
    )


def test_a_pruned_layers_dead_channels_are_those_of_the_masked_weight(scanned: Scanned) -> None:
    layer = nn.Linear(6, 8)
    prune.ln_structured(layer, "weight", amount=0.25, n=2, dim=0)
    state = {f"fc.{key}": value for key, value in layer.state_dict().items()}
    assert set(state) == {"fc.bias", "fc.weight_orig", "fc.weight_mask"}
    health = scanned(state)
    assert words(health, Check.DEAD) == {
        "fc.weight_orig": "2 of 8 output channels (rows of the weight) are zero throughout"
    }
    prune.remove(layer, "weight")
    made_permanent = scanned({f"fc.{key}": value for key, value in layer.state_dict().items()})
    assert list(words(made_permanent, Check.DEAD)) == ["fc.weight"]


def test_masks_may_hold_what_weights_may_not(scanned: Scanned) -> None:
    mask = torch.full((4, 4), -torch.inf).triu(1)
    health = scanned(
        {"attn_mask": mask, "h.0.attn.masked_bias": torch.tensor(-1e4), "w": torch.randn(3)}
    )
    assert health_verdict(health) == "no anomalies"
    assert words(health, Check.NOT_FINITE) == {"attn_mask": "6 are Inf, of 16 values, as in a mask"}
    assert "as in a mask" in words(health, Check.EXTREME)["h.0.attn.masked_bias"]
    mask[0, 0] = torch.nan
    assert health_verdict(scanned({"attn_mask": mask})) == "1 tensor holds NaN or Inf"
    learned = scanned({"mask_token": torch.full((1, 1, 4), torch.inf)})
    assert health_verdict(learned) == "1 tensor holds Inf"


def test_constants_that_are_starts_are_usual_and_others_are_not(scanned: Scanned) -> None:
    health = scanned(
        {
            "blocks.0.ls1.gamma": torch.full((8,), 1e-5),
            "blocks.0.norm1.weight": torch.ones(8),
            "blocks.1.norm1.weight": torch.full((8,), 0.37),
            "blocks.0.mlp.fc1.weight": torch.full((4, 8), 0.02),
            "scale": torch.tensor(3.0),
        }
    )
    assert health_verdict(health) == "2 tensors are constant"
    assert health.result(Check.CONSTANT).of == 4  # one value is no constant
    assert words(health, Check.CONSTANT)["blocks.0.mlp.fc1.weight"] == "all 32 values are 0.02"
    assert words(health, Check.CONSTANT)["blocks.0.ls1.gamma"].endswith(
        "as learned scales start out"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["beit_base_patch16_224", "cait_xxs24_224", "efficientnet_b0", "levit_128s", "nfnet_f0"],
)
def test_a_new_network_of_timm_has_no_anomalies(scanned: Scanned, name: str) -> None:
    health = scanned(timm.create_model(name).state_dict())
    assert health_verdict(health) == "no anomalies"
    assert health.result(Check.ZERO).usual


def test_all_infinite_or_all_nan_is_neither_constant_nor_zero(scanned: Scanned) -> None:
    health = scanned({"a": torch.full((4,), torch.inf), "b": torch.full((4,), torch.nan)})
    assert not words(health, Check.CONSTANT)
    assert not words(health, Check.ZERO)
    assert health.result(Check.NOT_FINITE).count == 8


def test_an_all_zero_weight_is_told_once_in_the_verdict(scanned: Scanned) -> None:
    """Its channels are dead too, and are counted, but the verdict does not repeat them."""
    health = scanned({"conv.weight": torch.zeros(64, 3, 3, 3)})
    assert health_verdict(health) == "1 tensor is all zero"
    assert count_words(health.result(Check.DEAD)) == "64 of 64"


def test_large_statistics_are_no_extreme_weights(scanned: Scanned) -> None:
    norm = nn.BatchNorm1d(2)
    norm.running_var.fill_(1e4)
    norm.running_mean[0] = 300.0
    health = scanned({f"bn1.{key}": value for key, value in norm.state_dict().items()})
    assert not words(health, Check.EXTREME)
    assert health.result(Check.EXTREME).of == 4


def test_a_tensor_with_damaged_scales_is_named_and_the_others_are_checked(tmp_path: Path) -> None:
    torch.save({"q": ODD["per_channel"], "w": torch.randn(3, 3)}, tmp_path / "m.pth")
    state_dict = open_checkpoint(tmp_path / "m.pth").state_dict()
    quantized = state_dict["q"]
    assert isinstance(quantized.form, Quantized)
    damaged = replace(quantized, form=replace(quantized.form, scale=state_dict["w"]))
    health = scan(StateDict([damaged, state_dict["w"]]))
    (left,) = health.unchecked
    assert left.key == "q"
    assert left.reason.startswith("unreadable: The quantized tensor q has 9 scales where 8")
    assert health_verdict(health) == "no anomalies in 1 tensor, 1 not checked"
    assert health.result(Check.ZERO).of == 1


def test_numbers_have_thin_spaces(scanned: Scanned) -> None:
    health = scanned({"w": torch.randn(1234)})
    assert count_words(health.result(Check.NOT_FINITE)) == f"0 of 1{THIN}234"
