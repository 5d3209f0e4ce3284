"""Heads that people put in the place of a network's own, or beside it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

from benchmarks.identify_corpus import state_dict_of
from core.architectures import parse_architecture, signature
from core.checkpoint import open_checkpoint
from core.fit.identify import identify
from core.fit.index import Lookup
from core.load import load_model
from core.recipe import apply_recipe
from tests.core.fit.identify.files import told


class Classifier(nn.Module):
    """A backbone with a head of its own, as people write it."""

    def __init__(self, head: nn.Module, name: str = "head") -> None:
        super().__init__()
        self.backbone = timm.create_model("resnet18", num_classes=0)
        setattr(self, name, head)


def with_head(name: str, head: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
    model = build()
    setattr(model, name, head)
    return model


def resnet(head: nn.Module) -> nn.Module:
    return with_head("fc", head, torchvision.models.resnet18)


def beside_its_modules(head: nn.Module) -> nn.Module:
    """As pretrainedmodels writes it."""
    model = with_head("last_linear", head, torchvision.models.resnet18)
    del model.fc
    return model


def efficientnet(head: nn.Module) -> nn.Module:
    return with_head("classifier", head, torchvision.models.efficientnet_b0)


@pytest.mark.parametrize(
    ("build", "architecture", "head"),
    [
        (
            lambda: resnet(nn.Sequential(nn.Dropout(), nn.Linear(512, 7))),
            "torchvision:resnet18?num_classes=7",
            "fc.1",
        ),
        (
            lambda: nn.DataParallel(resnet(nn.Sequential(nn.Dropout(), nn.Linear(512, 7)))),
            "torchvision:resnet18?num_classes=7",
            "module.fc.1",
        ),
        (
            lambda: beside_its_modules(nn.Linear(512, 7)),
            "torchvision:resnet18?num_classes=7",
            "last_linear",
        ),
        (
            lambda: efficientnet(nn.Linear(1280, 7)),
            "torchvision:efficientnet_b0?num_classes=7",
            "classifier",
        ),
        (
            lambda: nn.Sequential(timm.create_model("resnet18", num_classes=0), nn.Linear(512, 7)),
            "torchvision:resnet18?num_classes=7",
            "1",
        ),
        (
            lambda: Classifier(nn.Linear(512, 7)),
            "torchvision:resnet18?num_classes=7",
            "head",
        ),
        (
            lambda: Classifier(nn.Sequential(nn.Dropout(), nn.Linear(512, 7)), "classifier"),
            "torchvision:resnet18?num_classes=7",
            "classifier.1",
        ),
    ],
    ids=[
        "sequential",
        "parallel",
        "beside its modules",
        "linear",
        "beside",
        "own",
        "own sequential",
    ],
)
def test_a_trained_head_is_kept_wherever_it_stands(
    lookup: Lookup,
    tmp_path: Path,
    build: Callable[[], nn.Module],
    architecture: str,
    head: str,
) -> None:
    model = build()
    best = told(lookup, tmp_path / "a.pth", model.state_dict()).candidates[0]
    assert best.architecture == parse_architecture(architecture)
    assert best.fits
    assert not best.left_out
    own = "classifier.1" if best.architecture.name == "efficientnet_b0" else "fc"
    assert f"`{head}.*` is taken as the head, `{own}`." in best.evidence
    repaired = apply_recipe(best.recipe, open_checkpoint(tmp_path / "a.pth").state_dict())
    loaded = list(load_model(repaired.state_dict, best.architecture).model.state_dict().values())
    assert torch.equal(loaded[-2], model.state_dict()[f"{head}.weight"])
    assert torch.equal(loaded[-1], model.state_dict()[f"{head}.bias"])


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: resnet(nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 7))),
            "By its tensors this is a timm resnet18, without a head; `fc.*` is left out.",
        ),
        (
            lambda: resnet(nn.Sequential(nn.BatchNorm1d(512), nn.Linear(512, 7))),
            "By its tensors this is a timm resnet18, without a head; `fc.*` is left out.",
        ),
        (
            lambda: efficientnet(
                nn.Sequential(nn.Dropout(), nn.Linear(1280, 512), nn.ReLU(), nn.Linear(512, 7))
            ),
            "The nearest is a torchvision efficientnet_b0; `classifier.1.{weight,bias}` have "
            "another shape and `classifier.3.*` is left out.",
        ),
        (
            lambda: Classifier(nn.ModuleDict({"a": nn.Linear(512, 7), "b": nn.Linear(512, 2)})),
            "By its tensors this is a timm resnet18, without a head, saved as a "
            "backbone; `head.*` is left out.",
        ),
        (
            lambda: Classifier(nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 7))),
            "By its tensors this is a timm resnet18, without a head, saved as a "
            "backbone; `head.*` is left out.",
        ),
    ],
    ids=["two layers", "norm", "two layers of its own place", "two heads", "two layers beside"],
)
def test_a_head_of_another_make_is_said_to_be_left_out(
    lookup: Lookup, tmp_path: Path, build: Callable[[], nn.Module], sentence: str
) -> None:
    assert told(lookup, tmp_path / "a.pth", build().state_dict()).sentence.startswith(sentence)


def test_the_projection_heads_of_dino_are_no_head_of_the_backbone(
    lookup: Lookup, tmp_path: Path
) -> None:
    backbone = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    projection = nn.Sequential(nn.Linear(192, 2048), nn.GELU(), nn.Linear(2048, 256)).state_dict()
    tensors = {f"module.backbone.{key}": value for key, value in backbone.items()}
    tensors |= {f"module.head.mlp.{key}": value for key, value in projection.items()}
    found = told(lookup, tmp_path / "a.pth", tensors)
    assert found.sentence == (
        "This is a timm vit_tiny_patch16_224, without a head, saved from DataParallel as a "
        "backbone; `module.head.*` is left out."
    )


def test_a_layer_is_taken_whole_or_not_at_all(lookup: Lookup, tmp_path: Path) -> None:
    backbone = timm.create_model("resnet18", num_classes=0).state_dict()
    tensors = {f"backbone.{key}": value for key, value in backbone.items()}
    tensors |= {f"neck.fc0.{key}": value for key, value in nn.Linear(512, 128).state_dict().items()}
    tensors |= {f"head.fc.{key}": value for key, value in nn.Linear(128, 7).state_dict().items()}
    found = told(lookup, tmp_path / "a.pth", tensors)
    assert found.sentence.startswith(
        "By its tensors this is a timm resnet18, without a head, saved as a "
        "backbone; `neck.*` and `head.*` are "
        "left out."
    )


def test_an_auxiliary_head_of_other_classes_is_left_out(lookup: Lookup, tmp_path: Path) -> None:
    model = torchvision.models.googlenet(aux_logits=True, init_weights=False)
    model.fc = nn.Linear(1024, 7)
    best = told(lookup, tmp_path / "a.pth", model.state_dict()).candidates[0]
    assert best.fits
    assert dict(best.architecture.options) == {"aux_logits": 0, "num_classes": 7}
    assert {key.split(".")[0] for key in best.left_out} == {"aux1", "aux2"}
    segmentation = torchvision.models.segmentation.deeplabv3_mobilenet_v3_large
    model = segmentation(weights_backbone=None, num_classes=21, aux_loss=True)
    model.classifier[4] = nn.Conv2d(256, 2, 1)
    best = told(lookup, tmp_path / "b.pth", model.state_dict()).candidates[0]
    assert best.fits
    assert dict(best.architecture.options) == {"num_classes": 2}


def test_a_layer_before_the_head_is_not_taken_for_the_head_of_a_smaller_network(
    lookup: Lookup,
) -> None:
    with torch.device("meta"):
        model = timm.create_model("convnext_large_mlp", num_classes=0)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    best = identify(state_dict_of(shapes), lookup).candidates[0]
    assert best.architecture.key == "timm:convnext_large_mlp?num_classes=0"
    assert best.fits


def test_a_head_that_was_trained_beside_imagenets_is_named(lookup: Lookup, tmp_path: Path) -> None:
    model = nn.Module()
    model.model = torchvision.models.resnet18()
    model.classifier = nn.Sequential(nn.Linear(512, 64), nn.BatchNorm1d(64), nn.Linear(64, 156))
    best = told(lookup, tmp_path / "a.pth", model.state_dict()).candidates[0]
    assert best.architecture == parse_architecture("torchvision:resnet18")
    assert (
        "`classifier.*` (156 outputs) is left out and can be the head that was trained: then "
        "`model.fc` predicts other classes."
    ) in best.evidence


def test_a_classifier_beside_a_projection_is_the_head(lookup: Lookup, tmp_path: Path) -> None:
    model = Classifier(nn.Linear(512, 7), "classifier")
    model.projector = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 32))
    best = told(lookup, tmp_path / "a.pth", model.state_dict()).candidates[0]
    assert best.architecture == parse_architecture("torchvision:resnet18?num_classes=7")
    assert best.fits
    assert any("`projector.*` (32 outputs) is left out: it reads" in fact for fact in best.evidence)


def test_an_embedding_is_no_head_and_the_margin_loss_is_named(
    lookup: Lookup, tmp_path: Path
) -> None:
    model = torchvision.models.resnet18()
    model.fc = nn.Identity()
    model.embedding = nn.Linear(512, 512)
    model.margin = nn.Linear(512, 7, bias=False)
    best = told(lookup, tmp_path / "a.pth", model.state_dict()).candidates[0]
    assert best.architecture == parse_architecture("timm:resnet18?num_classes=0")
    evidence = " ".join(best.evidence)
    assert "`margin.*` (7 outputs) is left out and can be the head" in evidence
    assert "`embedding.*` (512 outputs) is left out: it reads like a projection" in evidence


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("torchvision:convnext_tiny", "classifier.2."),
        ("torchvision:vgg11", "classifier.6."),
        ("timm:beit3_giant_patch14_224", "head."),
    ],
)
def test_a_backbone_and_its_head_apart_are_one_network(
    lookup: Lookup, name: str, head: str
) -> None:
    wanted = signature(parse_architecture(name))
    file = state_dict_of(
        {
            f"{'head' if key.startswith(head) else 'backbone'}.{key}": spec.shape
            for key, spec in wanted.items()
        }
    )
    best = identify(file, lookup).candidates[0]
    assert best.architecture.key == name
    assert best.fits
    assert not best.left_out


def test_a_head_of_another_name_beside_an_average_of_many_tensors_is_kept(lookup: Lookup) -> None:
    wanted = signature(parse_architecture("torchvision:resnet152"))
    shapes = {key.replace("fc.", "last_linear."): spec.shape for key, spec in wanted.items()}
    file = state_dict_of(
        {
            f"{place}.{key}": shape
            for place in ("model", "model_ema")
            for key, shape in shapes.items()
        }
    )
    best = identify(file, lookup).candidates[0]
    assert best.architecture.key == "torchvision:resnet152"
    assert best.fits
    assert all(key.startswith("model_ema.") for key in best.left_out)
