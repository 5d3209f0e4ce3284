"""A proof of a repaired file: it loads, each value is right, and the source gives the same outputs.

The files are real ones; weights are random, with BatchNorm statistics that keep the signal alive.
"""

from pathlib import Path

import pytest
import timm
import torch
from torchvision.models import mobilenet_v2, resnet18

from core.architectures import parse_architecture, signature
from core.checkpoint import open_checkpoint
from core.fit.identify import hints_of, identify
from core.fit.index import Lookup
from core.fit.proposals import best_repair
from core.fixes import CastDtype, Drop, Fix, Recipe, RenameTable
from core.predict.proof import Proof, proof_json, proof_sentences, prove
from core.recipe import apply_recipe

Weights = dict[str, torch.Tensor]
SWAPPED = RenameTable(
    (
        ("layer1.0.conv1.weight", "layer1.0.conv2.weight"),
        ("layer1.0.conv2.weight", "layer1.0.conv1.weight"),
    )
)


def alive(model: torch.nn.Module) -> Weights:
    """The model's weights, with BatchNorms that all let their branch through."""
    generator = torch.Generator().manual_seed(0)
    weights = model.state_dict()
    for key, value in weights.items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.1, generator=generator)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif value.ndim == 1 and key.endswith("weight"):
            value.uniform_(0.5, 1.0, generator=generator)
    return weights


@pytest.fixture(scope="module")
def in_timms_names() -> Weights:
    torch.manual_seed(0)
    return alive(timm.create_model("mobilenetv2_100", num_classes=10))


@pytest.fixture(scope="module")
def residual() -> Weights:
    torch.manual_seed(0)
    return alive(resnet18(num_classes=10))


@pytest.fixture
def proved(tmp_path: Path, lookup: Lookup):
    """Saves weights, repairs them by the fixes, or by the best ones, and proves the result."""

    def prove_it(
        weights: Weights,
        key: str,
        *fixes: Fix,
        best: bool = False,
        name: str = "model.pth",
        written: Weights | None = None,
    ) -> Proof:
        torch.save(weights, tmp_path / name)
        checkpoint = open_checkpoint(tmp_path / name)
        original, architecture = checkpoint.state_dict(), parse_architecture(key)
        recipe = Recipe.of(fixes)
        if best:
            found = best_repair(original, signature(architecture)).recipe
            recipe = Recipe((*found.steps, *recipe.steps))
        if written is not None:
            torch.save(written, tmp_path / "written.pth")
        hints = hints_of(checkpoint, original)
        return prove(
            original,
            apply_recipe(recipe, original, signature(architecture)).state_dict,
            architecture,
            recipe,
            written=written and open_checkpoint(tmp_path / "written.pth").state_dict(),
            identification=identify(original, lookup, hints),
            hints=hints,
        )

    return prove_it


def text(proof: Proof) -> str:
    return " ".join(proof_sentences(proof))


def test_another_librarys_network_gives_the_same_outputs(proved, in_timms_names: Weights) -> None:
    proof = proved(in_timms_names, "torchvision:mobilenet_v2?num_classes=10", best=True)
    assert proof.proved
    assert proof.compared.verdict == "same outputs"
    assert proof.source == parse_architecture("timm:mobilenetv2_100?num_classes=10")
    assert proof.compared.difference <= proof.compared.tolerance
    assert len(proof.values.from_file) == len(in_timms_names)
    assert "gives the outputs of timm mobilenetv2_100 (num_classes=10) on 2 random" in text(proof)


def test_the_way_back_gives_the_same_outputs(proved, in_timms_names: Weights) -> None:
    names = mobilenet_v2(num_classes=10).state_dict()
    weights = dict(zip(names, in_timms_names.values(), strict=True))
    assert all(names[key].shape == value.shape for key, value in weights.items())
    proof = proved(weights, "timm:mobilenetv2_100?num_classes=10", best=True)
    assert proof.compared.verdict == "same outputs"
    assert proof.source == parse_architecture("torchvision:mobilenet_v2?num_classes=10")


def test_a_cast_hides_no_difference_and_makes_none(proved, in_timms_names: Weights) -> None:
    key = "torchvision:mobilenet_v2?num_classes=10"
    proof = proved(in_timms_names, key, CastDtype("float16"), best=True)
    assert proof.compared.verdict == "same outputs"
    assert proof.values.computed
    assert "are what the recipe computes." in text(proof)


def test_the_same_names_with_another_arithmetic_give_other_outputs(proved) -> None:
    torch.manual_seed(0)
    weights = alive(timm.create_model("mobilenetv3_large_100", num_classes=10))
    # timm's BatchNorms add 1e-5 to the variance, and torchvision's 1e-3.
    proof = proved(weights, "torchvision:mobilenet_v3_large?num_classes=10", best=True)
    assert proof.compared.verdict == "other outputs"
    assert not proof.proved


def test_the_targets_own_names_leave_nothing_to_compare(proved, residual: Weights) -> None:
    wrapped = {f"module.{key}": value for key, value in residual.items()}
    proof = proved(wrapped, "torchvision:resnet18?num_classes=10", best=True)
    assert proof.proved
    assert proof.compared.verdict == "not compared"
    assert "The file has the target's own key names" in text(proof)
    # The blurring variant has the same keys and shapes, and is another function.
    assert "timm resnetblur18 (num_classes=10)" in text(proof)
    assert "Not proved: that its outputs" in text(proof)


def test_two_layers_in_each_others_place_give_other_outputs(proved, residual: Weights) -> None:
    proof = proved(residual, "torchvision:resnet18?num_classes=10", SWAPPED)
    assert proof.compared.verdict == "other outputs"
    assert proof.compared.difference > proof.compared.tolerance
    assert not proof.values.differing
    assert not proof.proved
    assert text(proof).startswith("The proof failed: its outputs are not those of torchvision res")


def test_a_model_without_layers_that_the_file_has_gives_other_outputs(proved) -> None:
    torch.manual_seed(0)
    weights = alive(timm.create_model("seresnet18", num_classes=10))
    proof = proved(weights, "timm:resnet18?num_classes=10", Drop("*.se.*"))
    assert proof.source == parse_architecture("timm:seresnet18?num_classes=10")
    assert proof.compared.verdict == "other outputs"


def test_the_model_that_the_file_names_is_the_source(proved, residual: Weights) -> None:
    key = "timm:resnetblur18?num_classes=10"
    proof = proved(residual, key, name="torchvision_resnet18.pth")
    assert proof.source == parse_architecture("torchvision:resnet18?num_classes=10")
    assert proof.compared.verdict == "other outputs"
    assert "The file is called `torchvision_resnet18.pth`." in text(proof)
    assert "maxpool.1.filt" in proof.values.by_model


def test_names_that_no_library_has_leave_the_source_unknown(proved, residual: Weights) -> None:
    renamed = {key.replace("layer", "stage"): value for key, value in residual.items()}
    proof = proved(renamed, "torchvision:resnet18?num_classes=10", best=True)
    assert proof.proved
    assert "The source model could not be built" in text(proof)
    assert proof_json(proof)["source"] is None


def test_a_weight_that_is_not_a_number_is_named(proved, residual: Weights) -> None:
    broken = residual | {"conv1.weight": residual["conv1.weight"].clone()}
    broken["conv1.weight"][0, 0, 0, 0] = float("nan")
    proof = proved(broken, "torchvision:resnet18?num_classes=10")
    assert not proof.proved
    assert not proof.values.differing
    assert proof.not_finite == proof.elements == 20
    assert "NaN or infinite weights: `conv1.weight`." in text(proof)


def test_a_value_that_is_not_the_files_is_found(proved, residual: Weights) -> None:
    other = residual | {"fc.bias": residual["fc.bias"] + 1e-7}
    proof = proved(residual, "torchvision:resnet18?num_classes=10", written=other)
    assert proof.values.differing == ("fc.bias",)
    assert not proof.proved
    assert "1 of 122 tensors has other values in the model" in text(proof)


def test_what_does_not_fit_is_not_loaded(proved, residual: Weights) -> None:
    proof = proved(residual, "torchvision:resnet18?num_classes=11")
    assert not proof.proved
    assert proof.match is None
    assert "does not fit torchvision resnet18 (num_classes=11): 2 mismatched shapes" in text(proof)
