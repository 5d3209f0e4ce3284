"""Names without dots: a renaming for them, and the statistics of Caffe2's folded norms."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.resnet import Bottleneck, ResNet

from core.fit.key_match import match
from core.fit.proposals import best_repair, propose
from core.fixes import FOLDED_VARIANCE, AddBatchStatistics, Drop, RenameTable
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.fit.align.models import output, saved, varied
from tests.core.plain_torch import file_of, signature_of

Tensors = dict[str, torch.Tensor]


def small_resnet() -> ResNet:
    """A ResNet of bottlenecks, as resnet50, of one block a stage."""
    return ResNet(Bottleneck, [1, 1, 1, 1], num_classes=5)


def caffe2_names(model: nn.Module) -> Tensors:
    """A ResNet of bottlenecks as Caffe2 writes one with folded norms: without statistics."""
    tensors: Tensors = {}
    for key, value in model.named_parameters():
        parts = key.split(".")
        leaf = parts[-1][0]
        if parts[0] == "fc":
            name = f"pred_{leaf}"
        elif not parts[0].startswith("layer"):
            name = "conv1_w" if parts[0] == "conv1" else f"res_conv1_bn_{'sb'[leaf == 'b']}"
        else:
            norm = parts[2].startswith("bn") or parts[2:4] == ["downsample", "1"]
            branch = "1" if parts[2] == "downsample" else f"2{'abc'[int(parts[2][-1]) - 1]}"
            end = f"bn_{'sb'[leaf == 'b']}" if norm else "w"
            name = f"res{int(parts[0][-1]) + 1}_{parts[1]}_branch{branch}_{end}"
        tensors[name] = value.detach()
    return tensors


@pytest.mark.parametrize("joint", ["_", "/"])
def test_the_model_s_own_keys_without_their_dots_are_renamed(joint: str) -> None:
    model = resnet18(num_classes=4)
    tensors = {key.replace(".", joint): value for key, value in model.state_dict().items()}
    file, wanted = file_of(tensors), signature_of(model)
    (best, *_) = propose(file, wanted)
    assert best.sentence == "rename 122 keys by a table: 0 → 122 of 122 keys"
    assert best.why == (
        f"The file's keys have no dots: `conv1{joint}weight` is the model's `conv1.weight`."
    )


def test_a_resnet_of_caffe2_computes_the_same_with_its_norms_folded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = varied(small_resnet())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # what folding leaves: a scale and a bias
            module.running_mean.zero_()
            module.running_var.fill_(1 - module.eps)
    in_no_order = dict(sorted(caffe2_names(model).items(), key=lambda item: item[0][::-1]))
    file, wanted = saved(tmp_path, in_no_order), signature_of(model)
    recipe = best_repair(file, wanted).recipe
    fixes = [step.fix for step in recipe.steps]
    assert [type(fix) for fix in fixes] == [RenameTable, AddBatchStatistics]
    assert fixes[1] == AddBatchStatistics(FOLDED_VARIANCE)
    repaired = apply_recipe(recipe, file, wanted).state_dict
    assert match(repaired, wanted).fits
    target = small_resnet()
    target.load_state_dict({key: read_tensor(entry) for key, entry in repaired.items()})
    assert torch.equal(output(target.eval(), 64), output(model, 64))
    (best, *others) = propose(file, wanted)
    assert "the stride of a block in its first convolution" in best.why
    assert "eps of 1e-5" in best.why
    assert not any("never measured" in proposal.why for proposal in others)


@pytest.mark.parametrize(
    "extra", [{"res_conv1_bn_rm": torch.zeros(64)}, {"res2_0_branch2a_bn_riv": torch.ones(64)}]
)
def test_norms_with_statistics_beside_them_are_not_taken_for_folded(extra: Tensors) -> None:
    model = small_resnet()
    file, wanted = file_of({**caffe2_names(model), **extra}), signature_of(model)
    assert not any(
        isinstance(step.fix, AddBatchStatistics) for step in best_repair(file, wanted).recipe.steps
    )


def test_a_norm_that_the_names_do_not_call_folded_leaves_all_to_a_person() -> None:
    model = small_resnet()
    tensors = caffe2_names(model)
    for end in "sb":
        old = f"res_conv1_bn_{end}"
        tensors[f"bn1_{'weight' if end == 's' else 'bias'}"] = tensors.pop(old)
    file, wanted = file_of(tensors), signature_of(model)
    assert not any(
        isinstance(step.fix, AddBatchStatistics) for step in best_repair(file, wanted).recipe.steps
    )


def with_momentum(tensors: Tensors) -> Tensors:
    """Caffe2's weights, each followed by the momentum that its SGD keeps."""
    return {
        name: value
        for key, weight in tensors.items()
        for name, value in ((key, weight), (f"{key}_momentum", torch.rand_like(weight)))
    }


@pytest.mark.parametrize("scope", ["", "gpu_0/"])
def test_the_momentum_of_caffe2_s_sgd_is_left_out_and_said_to_be(
    tmp_path: Path, scope: str
) -> None:
    model = varied(small_resnet())
    tensors = {f"{scope}{key}": value for key, value in caffe2_names(model).items()}
    file, wanted = saved(tmp_path, with_momentum(tensors)), signature_of(model)
    best = best_repair(file, wanted)
    assert best.recipe.steps[0].fix == Drop("*_momentum")
    assert "keeps the momentum of a weight so" in best.why[0]
    repaired = apply_recipe(best.recipe, file, wanted).state_dict
    assert match(repaired, wanted).fits
    for key, value in model.named_parameters():
        assert torch.equal(read_tensor(repaired[key]), value), key


def test_a_weight_of_which_the_momentum_alone_is_there_is_missing() -> None:
    model = small_resnet()
    tensors = with_momentum(caffe2_names(model))
    del tensors["res2_0_branch2a_w"]
    file, wanted = file_of(tensors), signature_of(model)
    repaired = apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict
    assert not match(repaired, wanted).fits


def test_the_blobs_of_two_gpus_are_not_taken_for_one_network() -> None:
    model = small_resnet()
    blobs = caffe2_names(model)
    tensors = {f"gpu_{gpu}/{key}": value for key, value in blobs.items() for gpu in (0, 1)}
    file, wanted = file_of(tensors), signature_of(model)
    repaired = apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict
    assert not match(repaired, wanted).fits
