"""`loupe explain`, run as a user runs it: a map in a file, its sentence, its exit status."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm import create_model
from torchvision.models import resnet18
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from core.cli.image_commands.explain import METHODS
from core.explain import METHODS as KNOWN
from core.server import SAMPLES, sample_images
from tests.core.cli.process import loupe

pytestmark = pytest.mark.slow

FOUR = next(path for path in sample_images() if path.name.startswith("digit_4"))
SAMPLE = (
    *("explain", SAMPLES["final"].path, "--arch", "shufflenet_v2_x0_5", "--num-classes", 10),
    *("--strip-prefix", "module."),
)


def test_the_methods_are_those_that_there_are() -> None:
    assert tuple(KNOWN) == METHODS


def test_explain_writes_the_map_over_the_image(tmp_path: Path) -> None:
    asked = (*SAMPLE, FOUR, "--method", "occlusion", "-o", tmp_path / "heat.png")
    done = loupe(*asked)
    assert done.returncode == 0, done.stderr
    first, evidence, hottest, *_ = done.stdout.splitlines()
    assert first == f"Occlusion of {FOUR.name} for four:"
    assert "9 × 9 pixels have the mean colour" in evidence
    assert "px from the left" in hottest
    with Image.open(FOUR) as plain, Image.open(tmp_path / "heat.png") as drawn:
        assert drawn.size == plain.size
        changed = np.asarray(drawn).astype(int) - np.asarray(plain.convert("RGB")).astype(int)
    assert (changed != 0).any(-1).mean() > 0
    again = loupe(*asked)
    assert again.returncode == 2
    assert "heat.png exists already. Name another file, or give --force." in again.stderr
    assert loupe(*asked, "--force", "--opacity", 0).returncode == 0
    with Image.open(tmp_path / "heat.png") as drawn, Image.open(FOUR) as plain:
        assert np.array_equal(np.asarray(drawn), np.asarray(plain.convert("RGB")))


def test_explain_takes_a_class_by_name_or_index_and_prints_json() -> None:
    by_name, by_index = (
        json.loads(loupe(*SAMPLE, FOUR, "--class", named, "--layer", "stage3", "--json").stdout)
        for named in ("NINE", "9")
    )
    assert by_name == by_index
    heat = by_name["heat"]
    assert (heat["index"], heat["label"], heat["layer"]) == (9, "nine", "stage3")
    assert "on a grid of 4 × 4 places" in heat["evidence"]
    assert heat["written"] is None


def test_explain_lists_the_layers_and_their_activations(tmp_path: Path) -> None:
    weights = resnet18(num_classes=3).state_dict()
    weights["layer3.0.conv2.weight"][0] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    asked = ("explain", tmp_path / "nan.pth", "--arch", "resnet18", "--num-classes", 3, FOUR)
    done = loupe(*asked, "--activations", "--layers")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^layer4 +7 × 7 +NCHW$", done.stdout, re.MULTILINE)
    assert "first seen in `layer3.0.conv2`: 196 values of its output." in done.stdout
    told = json.loads(loupe(*asked, "--activations", "--json").stdout)
    rows = {each["name"]: each for each in told["activations"]}
    assert rows["layer3.0.conv2"]["not_finite"] == 196
    assert rows["fc"]["mean"] is None
    assert "heat" not in told
    refused = loupe(*asked)
    assert refused.returncode == 2
    assert "not a number (NaN)" in refused.stderr


def test_explain_refuses_with_a_sentence(tmp_path: Path) -> None:
    for arguments, said in (
        ((FOUR, "--class", "eleven"), "No class is called eleven."),
        ((FOUR, "--class", "10"), "The model has no class 10. Its 10 classes count from 0."),
        ((FOUR, "--layer", "fc"), "The output of `fc` has no spatial grid."),
        ((FOUR, "--method", "rollout"), "Choose Grad-CAM, integrated gradients or occlusion."),
        ((FOUR, "--opacity", "2"), "2 is not from 0 to 1"),
        ((FOUR, "-o", tmp_path / "heat.pth"), "Name it .png, .jpg or .webp."),
        ((FOUR, "-o", FOUR, "--force"), "is the image itself."),
        ((tmp_path / "gone.png",), "gone.png cannot be read"),
    ):
        done = loupe(*SAMPLE, *arguments)
        assert done.returncode == 2, done.stdout
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    wrong = ("explain", SAMPLES["final"].path, "--arch", "resnet18", FOUR)
    assert loupe(*wrong).returncode == 1


def test_a_layer_is_for_grad_cam_alone() -> None:
    done = loupe(*SAMPLE, FOUR, "--method", "occlusion", "--layer", "stage3")
    assert done.returncode == 2
    assert "--layer is where Grad-CAM looks." in done.stderr


def test_a_model_without_classes_is_refused_with_what_it_answers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(
        lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).state_dict(),
        tmp_path / "s.pth",
    )
    done = loupe("explain", tmp_path / "s.pth", "--arch", "lraspp_mobilenet_v3_large", FOUR)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "loupe: Heat maps show what speaks for a class, and torchvision lraspp_mobilenet_v3_large "
        "does not give a score for each: its answer is a class for each pixel. "
        "`loupe predict` shows that answer."
    )
    model = create_model("resnet18", num_classes=0)
    torch.save(model.state_dict(), tmp_path / "f.pth")
    headless = ("explain", tmp_path / "f.pth", "--arch", "timm:resnet18", "--num-classes", 0, FOUR)
    assert "its answer is an embedding" in loupe(*headless).stderr
    done = loupe(*headless, "--activations", "--layers")
    assert done.returncode == 0, done.stderr
    assert "layer4.1" in done.stdout
