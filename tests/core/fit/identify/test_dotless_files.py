"""Files whose keys have no dots: what they are, and what of them is counted."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn
from torchvision.models import resnet18, resnet50

from benchmarks.identify_corpus import state_dict_of
from core.architectures import parse_architecture, signature
from core.checkpoint import open_checkpoint
from core.fit.identify import identify
from core.fit.identify.families import family
from core.fit.index import Lookup
from core.fit.key_match import match
from core.fit.proposals import best_repair
from core.fixes import FOLDED_VARIANCE, AddBatchStatistics
from core.recipe import apply_recipe
from core.tensors import read_tensor
from tests.core.fit.identify.files import told
from tests.core.fit.proposals.test_dotless_names import caffe2_names, with_momentum
from tests.core.fit.renamed_networks import Weights, resnet
from tests.core.plain_torch import file_of


def meta(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key.replace(".", "_"): value for key, value in model.state_dict().items()}


@pytest.mark.slow
def test_a_resnet_of_caffe2_is_known_with_its_statistics_folded(
    lookup: Lookup, tmp_path: Path
) -> None:
    found = told(lookup, tmp_path / "model.pth", caffe2_names(resnet50(num_classes=5)))
    assert found.sentence.startswith(
        "Under other key names this has the tensors of a torchvision resnet50 with 5 classes."
    )
    best = found.candidates[0]
    assert best.fits
    assert AddBatchStatistics(FOLDED_VARIANCE) in [step.fix for step in best.recipe.steps]
    evidence = " ".join(best.evidence)
    assert "the stride of a block in its first convolution" in evidence
    assert "Detectron calls an AffineChannel so" in evidence


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["", "gpu_0/"])
def test_the_momentum_beside_its_weights_is_named_as_left_out(
    lookup: Lookup, tmp_path: Path, scope: str
) -> None:
    tensors = {f"{scope}{key}": value for key, value in caffe2_names(resnet50()).items()}
    found = told(lookup, tmp_path / "model.pth", with_momentum(tensors))
    best = found.candidates[0]
    assert best.fits
    assert best.architecture.key == "torchvision:resnet50"
    assert {*best.left_out} == {f"{key}_momentum" for key in tensors}
    assert f"`{scope}conv1_w_momentum`" in found.sentence
    assert "keeps the momentum of a weight so" in " ".join(best.evidence)


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["res2_0_branch2a_w", "pred_w", "res3_2_branch2c_bn_s"])
def test_momentum_takes_no_place_of_a_weight_that_was_lost(
    lookup: Lookup, tmp_path: Path, lost: str
) -> None:
    tensors = with_momentum(caffe2_names(resnet50()))
    del tensors[lost]
    found = told(lookup, tmp_path / "model.pth", tensors)
    assert not any(candidate.fits for candidate in found.candidates)


def mxnet_names(weights: Weights) -> Weights:
    """A ResNet as MXNet saves one (symbols/resnet-v1.py of its example/image-classification)."""
    leaves = {
        "weight": "arg:{}_gamma",
        "bias": "arg:{}_beta",
        "running_mean": "aux:{}_moving_mean",
        "running_var": "aux:{}_moving_var",
    }
    tensors: Weights = {}
    for key, value in weights.items():
        path, _, leaf = key.rpartition(".")
        stage, _, rest = path.partition(".")
        module = {"conv1": "conv0", "bn1": "bn0", "fc": "fc1"}.get(stage)
        if module is None:
            block, _, layer = rest.partition(".")
            own = {"downsample.0": "conv1sc", "downsample.1": "sc"}.get(layer, layer)
            module = f"stage{stage[-1]}_unit{int(block) + 1}_{own}"
        is_norm = "bn" in module or module.endswith("_sc")
        if leaf in leaves:
            tensors[(leaves[leaf] if is_norm else f"arg:{{}}_{leaf}").format(module)] = value
    return tensors


@pytest.mark.slow
def test_a_resnet_of_mxnet_is_known(lookup: Lookup, tmp_path: Path) -> None:
    weights = resnet(classes=5)
    path = tmp_path / "model.pth"
    best = told(lookup, path, mxnet_names(weights)).candidates[0]
    assert best.fits
    assert best.architecture.key == "torchvision:resnet18?num_classes=5"
    file, wanted = open_checkpoint(path).state_dict(), signature(best.architecture)
    repaired = apply_recipe(best.recipe, file, wanted).state_dict
    for key, value in weights.items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(read_tensor(repaired[key]), value), key


@pytest.mark.slow
def test_a_resnet_of_mxnet_whose_statistics_were_not_saved_does_not_fit(
    lookup: Lookup, tmp_path: Path
) -> None:
    tensors = mxnet_names(resnet(classes=5))
    parameters = {key: value for key, value in tensors.items() if key.startswith("arg:")}
    found = told(lookup, tmp_path / "model.pth", parameters)
    assert not any(candidate.fits for candidate in found.candidates)


@pytest.mark.slow
def test_with_statistics_beside_its_norms_it_does_not_fit(lookup: Lookup, tmp_path: Path) -> None:
    tensors = caffe2_names(resnet50(num_classes=5)) | {"res_conv1_bn_rm": torch.zeros(64)}
    found = told(lookup, tmp_path / "model.pth", tensors)
    assert not any(candidate.fits for candidate in found.candidates)


@pytest.mark.slow
def test_group_norms_and_batch_norms_of_the_same_shapes_are_told_apart(
    lookup: Lookup, tmp_path: Path
) -> None:
    batch = caffe2_names(timm.create_model("resnet50_gn", num_classes=5))
    group = {key.replace("_bn_", "_gn_"): value for key, value in batch.items()}
    found = told(lookup, tmp_path / "model.pth", group)
    assert (
        found.sentence
        == "Under other key names this has the tensors of a timm resnet50_gn with 5 classes."
    )
    assert found.candidates[0].fits
    wanted = signature(parse_architecture("timm:resnet50_gn?num_classes=5"))
    file = file_of(batch)
    repaired = apply_recipe(best_repair(file, wanted).recipe, file, wanted).state_dict
    assert not match(repaired, wanted).matched


@pytest.mark.slow
def test_a_resnet_with_underscores_for_dots_is_known(lookup: Lookup) -> None:
    with torch.device("meta"):
        found = identify(file_of(meta(resnet18(num_classes=5))), lookup)
    assert found.sentence.startswith(
        "Under other key names this has the tensors of a torchvision resnet18 with 5 classes."
    )
    assert found.candidates[0].fits


@pytest.mark.slow
def test_the_same_name_without_dots_tells_tables_of_rows_from_tables_of_columns(
    lookup: Lookup,
) -> None:
    wanted = signature(parse_architecture("timm:samvit_base_patch16"))
    shapes = {key.replace(".", "_"): spec.shape for key, spec in wanted.items()}
    file = state_dict_of(shapes)
    (best, *_) = identify(file, lookup).candidates
    assert best.fits
    repaired = apply_recipe(best.recipe, file, wanted).state_dict
    for key, entry in repaired.items():
        assert (entry.origin or key) == key.replace(".", "_")


def test_the_guess_of_a_family_counts_convolutions_of_any_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(caffe2_names(resnet50()), path)
    assert family(open_checkpoint(path).state_dict()) == (
        "a ResNet-like convolutional network of 53 convolutions, up to 2\u202f048 channels"
    )
    kernels = {f"layer_{at}_w": torch.zeros(8, 8, 3, 3) for at in range(6)}
    assert family(file_of({**kernels, "positions": torch.zeros(1, 8, 5, 5)})) == (
        "a convolutional network of 6 convolutions, up to 8 channels"
    )
    with torch.device("meta"):
        vit = file_of(meta(timm.create_model("test_vit")))
    assert family(vit).startswith("a transformer")
