"""`loupe predict`, run as a user runs it: a process, its output, its exit status."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.models import resnet18, resnet50
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from core.server import SAMPLES, sample_images
from tests.core.cli.process import loupe

pytestmark = pytest.mark.slow


def test_predict_gives_the_probabilities_of_plain_torch(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = resnet18(num_classes=3).eval()
    torch.save({"state_dict": model.state_dict(), "classes": ["ant", "bee", "cat"]}, tmp_path / "m")
    Image.radial_gradient("L").convert("RGB").save(tmp_path / "picture.png")
    done = loupe(
        *("predict", tmp_path / "m", "--arch", "torchvision:resnet18", "--num-classes", 3),
        *(tmp_path / "picture.png", "-k", 3, "--json"),
    )
    assert done.returncode == 0, done.stderr
    from torchvision.models import ResNet18_Weights

    inputs = ResNet18_Weights.DEFAULT.transforms()(Image.open(tmp_path / "picture.png"))
    with torch.inference_mode():
        expected = model(inputs[None]).softmax(1)[0]
    [image] = json.loads(done.stdout)["images"]
    assert image["name"] == "picture.png"
    assert [one["label"] for one in image["top"]] == [
        ["ant", "bee", "cat"][index] for index in expected.argsort(descending=True)
    ]
    for one in image["top"]:
        assert one["probability"] == pytest.approx(expected[one["index"]].item(), rel=1e-5)


def test_predict_on_the_sample_reads_the_digits(tmp_path: Path) -> None:
    final = SAMPLES["final"]
    arch = json.loads(loupe("inspect", final.path, "--json").stdout)["metadata"]["arch"]
    done = loupe(
        *("predict", final.path, "--arch", f"torchvision:{arch}", "--num-classes", 10),
        *("--strip-prefix", "module.", *sample_images(), "--json"),
    )
    assert done.returncode == 0, done.stderr
    images = json.loads(done.stdout)["images"]
    assert len(images) == len(sample_images())
    right = sum(f"digit_{image['top'][0]['index']}_" in image["name"] for image in images)
    assert right >= len(images) - 1


def test_predict_takes_a_list_of_names_for_a_model_whose_output_is_not_a_number(
    tmp_path: Path,
) -> None:
    weights = resnet18(num_classes=3).state_dict()
    weights["fc.weight"][1, 1] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\n")
    done = loupe(
        *("predict", tmp_path / "nan.pth", "--arch", "resnet18", "--num-classes", 3),
        *("--labels", tmp_path / "names.txt", sample_images()[0]),
    )
    assert done.returncode == 0, done.stderr
    assert "not a number (NaN)" in done.stdout


def test_predict_refuses_a_checkpoint_that_does_not_fit(training_file: Path) -> None:
    picture = sample_images()[0]
    done = loupe("predict", training_file, "--arch", "resnet18", picture)
    assert done.returncode == 1
    assert "run.pth does not fit torchvision resnet18: 0 of 122 keys" in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_says_what_a_network_gives_that_is_no_classifier(tmp_path: Path) -> None:
    model = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)
    torch.save(model.state_dict(), tmp_path / "pixels.pth")
    done = loupe(
        *("predict", tmp_path / "pixels.pth", "--arch", "lraspp_mobilenet_v3_large"),
        *("--num-classes", 3, sample_images()[0]),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "returns a class for every pixel (segmentation)" in done.stderr
    assert "classifiers" in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_says_what_it_guesses_and_takes_another_preprocessing(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    path = tmp_path / "mine" / "model.pth"
    torch.save(resnet50().state_dict(), path)
    command = ("predict", path, "--arch", "torchvision:resnet50", sample_images()[0])
    guess = loupe(*command)
    assert guess.returncode == 0, guess.stderr
    assert "(guessed: IMAGENET1K_V2, of torchvision's 2 recipes" in guess.stdout
    assert "other choices for --preprocessing: IMAGENET1K_V1" in guess.stdout
    chosen = json.loads(loupe(*command, "--preprocessing", "imagenet1k_v1", "--json").stdout)
    assert chosen["preprocessing"] == "torchvision's own recipe for ResNet50_Weights.IMAGENET1K_V1"
    assert chosen["guessed"] is False
    wrong = loupe(*command, "--preprocessing", "V3")
    assert wrong.returncode == 2
    assert "There is no preprocessing called 'V3'" in wrong.stderr


def test_predict_reads_the_configuration_beside_the_file_and_names_what_it_does_not_do(
    tmp_path: Path,
) -> None:
    torch.save(resnet18().state_dict(), tmp_path / "model.pth")
    config = {"image_processor_type": "ViTImageProcessor", "do_resize": True, "size": 64}
    config |= {"do_normalize": False, "resample": 2, "do_solarize": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    done = loupe("predict", tmp_path / "model.pth", "--arch", "resnet18", sample_images()[0])
    assert done.returncode == 0, done.stderr
    assert "(preprocessor_config.json beside the file)" in done.stdout
    assert "stated, but not done: do_solarize True" in done.stdout
