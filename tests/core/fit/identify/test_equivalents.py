"""A file whose tensors several networks take is told with what each of them computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision

from core.fit.index import Lookup
from core.fit.lookalikes import Arithmetic, known_facts
from tests.core.fit.identify.files import told
from tests.core.fit.renamed_networks import efficientnet_pytorch_names

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not known_facts(), reason="other versions than the facts'"),
]


def test_efficientnet_pytorchs_names_say_which_arithmetic_is_meant(
    lookup: Lookup, tmp_path: Path
) -> None:
    weights = efficientnet_pytorch_names(
        timm.create_model("tf_efficientnet_b0", num_classes=7).state_dict()
    )
    found = told(lookup, tmp_path / "a.pth", weights)
    best = found.candidates[0]
    assert best.architecture.key == "timm:tf_efficientnet_b0?num_classes=7"
    assert "efficientnet_pytorch" in " ".join(best.evidence)
    assert best.stated
    relations = dict(zip([each.name for each in best.also], best.relations, strict=True))
    assert relations["efficientnet_b0"].arithmetic is Arithmetic.OTHER
    assert "something else" not in found.sentence


def test_the_sentence_names_the_other_arithmetic_where_nothing_in_the_file_says_which(
    lookup: Lookup, tmp_path: Path
) -> None:
    weights = timm.create_model("efficientnet_b0", num_classes=7).state_dict()
    found = told(lookup, tmp_path / "a.pth", weights)
    assert found.sentence == (
        "By its tensors this is a timm efficientnet_b0 with 7 classes. timm "
        "tf_efficientnet_b0 takes the same "
        "tensors and computes something else: padding SAME, BatchNorm eps 0.001; so does 1 more. "
        "Nothing in the file says which."
    )
    evidence = " ".join(found.candidates[0].evidence)
    assert "timm tf_efficientnet_b0 (padding SAME, BatchNorm eps 0.001)" in evidence
    assert "have the same keys and shapes and compute something else." in evidence
    stated = told(lookup, tmp_path / "b.pth", {"state_dict": weights, "arch": "tf_efficientnet_b0"})
    assert stated.sentence == "This is a timm tf_efficientnet_b0 with 7 classes."


def test_those_that_compute_the_same_are_named_as_such(lookup: Lookup, tmp_path: Path) -> None:
    found = told(lookup, tmp_path / "a.pth", torchvision.models.resnet18().state_dict())
    best = found.candidates[0]
    relations = dict(zip([each.key for each in best.also], best.relations, strict=True))
    assert relations["timm:resnet18"].arithmetic is Arithmetic.SAME
    assert relations["timm:resnetblur18"].arithmetic is Arithmetic.OTHER
    assert any("compute" in fact and "timm resnet18" in fact for fact in best.evidence)


def test_an_activation_is_named_where_it_alone_makes_the_outputs_differ(
    lookup: Lookup, tmp_path: Path
) -> None:
    """torchvision puts ReLU in the place of ReLU6 in the networks that can be quantized."""
    weights = torchvision.models.quantization.mobilenet_v2(quantize=False).state_dict()
    found = told(lookup, tmp_path / "a.pth", weights)
    assert found.sentence == (
        "By its tensors this is a torchvision mobilenet_v2. torchvision "
        "quantized_mobilenet_v2 takes the same "
        "tensors and computes something else: activation ReLU. Nothing in the file says which."
    )


def test_outputs_that_differ_for_an_unknown_reason_are_said_to(
    lookup: Lookup, tmp_path: Path
) -> None:
    weights = timm.create_model("swinv2_tiny_window8_256").state_dict()
    found = told(lookup, tmp_path / "a.pth", weights)
    assert (
        "computes something else: its outputs differ, and which setting makes them differ is not "
        "known. Nothing in the file says which."
    ) in found.sentence
    assert "which setting makes them differ is not known)" in " ".join(found.candidates[0].evidence)


def test_moco_v3s_small_transformer_is_told_to_have_other_heads(
    lookup: Lookup, tmp_path: Path
) -> None:
    body = timm.create_model("vit_small_patch16_224", num_classes=0).state_dict()
    weights = {
        f"module.{encoder}.{key}": value
        for encoder in ("base_encoder", "momentum_encoder")
        for key, value in body.items()
    }
    weights["module.predictor.0.weight"] = torch.zeros(8, 8)
    found = told(lookup, tmp_path / "a.pth", {"state_dict": weights})
    assert found.sentence.endswith("with 6 heads the same tensors compute something else.")
