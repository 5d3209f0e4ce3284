"""`loupe predict`, run as a user runs it: a process, its output, its exit status."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torchvision.models import get_model, resnet18, resnet50
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.optical_flow import raft_small
from torchvision.models.segmentation import (
    LRASPP_MobileNet_V3_Large_Weights,
    lraspp_mobilenet_v3_large,
)

from core.server import SAMPLES, photographs, sample_images
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


SAMPLE = (
    *("predict", SAMPLES["final"].path, "--arch", "shufflenet_v2_x0_5", "--num-classes", 10),
    *("--strip-prefix", "module."),
)


def test_predict_takes_a_folder_and_goes_on_after_an_image_that_is_damaged(tmp_path: Path) -> None:
    for path in sample_images():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "digit_0_broken.png").write_bytes(sample_images()[0].read_bytes()[:200])
    done = loupe(*SAMPLE, tmp_path, "--csv", "-k", 2, "--batch", 3, "--dtype", "bfloat16")
    assert done.returncode == 1, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["image"] for row in rows if row["rank"] == "1"] == [
        path.name for path in sorted(sample_images())
    ]
    (refused,) = (row for row in rows if not row["rank"])
    assert refused["image"] == "digit_0_broken.png"
    assert "cut short" in refused["remark"]


def test_predict_says_what_was_taken_for_white(tmp_path: Path) -> None:
    scan = tmp_path / "scan.tif"
    Image.fromarray(np.array([[0, 4000]], np.float32)).save(scan)
    said = "The file does not state its white: its largest value, {}, is taken."
    assert f"  {said.format('4,000')}\n" in loupe(*SAMPLE, scan).stdout
    remarks = [
        image["remark"]
        for image in json.loads(loupe(*SAMPLE, scan, sample_images()[0], "--json").stdout)["images"]
    ]
    assert remarks == [said.format("4\u202f000"), ""]


def test_predict_refuses_what_it_cannot_do_before_it_loads(tmp_path: Path) -> None:
    for arguments, said in (
        ((tmp_path / "gone.png",), "gone.png does not exist."),
        ((tmp_path,), "has no image."),
        ((sample_images()[0], "--csv", "--json"), "Leave out --json"),
        ((sample_images()[0], "--batch", "0"), "0 is not above 0"),
        ((sample_images()[0], "--dtype", "int4"), "A model cannot be loaded as int4."),
    ):
        done = loupe(*SAMPLE, *arguments)
        assert done.returncode == 2, done.stdout
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_what_if_shows_the_top_1_under_the_usual_mistakes() -> None:
    done = loupe(*SAMPLE, *sample_images()[2:4], "--what-if")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith("fed with ")]
    assert len(heads) == 2
    first = {re.split(" {2,}", line)[0]: line for line in lines[heads[0] + 1 : heads[0] + 9]}
    assert re.search(r"^this preprocessing +four +96\.\d\d %$", first["this preprocessing"])
    assert first["leaving values at 0–255"].endswith("differs")
    assert not first["bicubic instead of bilinear"].endswith("differs")
    assert "No difference for this image: BGR instead of RGB and squashing" in done.stdout
    assert "change the answer, `four`; the other 4 do not." in done.stdout
    assert loupe(*SAMPLE, sample_images()[2]).stdout.count("\n") < heads[0] + 5


def test_what_if_as_json_has_the_code_of_each_mistake_and_all_figures() -> None:
    done = loupe(*SAMPLE, sample_images()[2], "--what-if", "--json")
    assert done.returncode == 0, done.stderr
    [image] = json.loads(done.stdout)["images"]
    found = image["what_if"]
    answers = {answer["mistake"]: answer for answer in found["answers"]}
    imagenet = answers["ImageNet mean/std"]
    assert imagenet["code"].startswith("v2.Normalize(mean=[0.485, 0.456, 0.406], std=")
    assert imagenet["changes"] == (imagenet["top"]["index"] != image["top"][0]["index"])
    same = answers["bicubic instead of bilinear"]
    assert same["top"]["label"] == image["top"][0]["label"]
    assert same["probability_of_the_answer"] == same["top"]["probability"]
    assert {each["mistake"] for each in found["skipped"]} == {
        "BGR instead of RGB",
        "squashing instead of cropping",
    }
    assert found["verdict"].endswith("do not.")
    plain = loupe(*SAMPLE, sample_images()[2], "--json")
    assert "what_if" not in json.loads(plain.stdout)["images"][0]


def test_what_if_of_a_model_whose_output_is_not_a_number_says_so(tmp_path: Path) -> None:
    weights = resnet18(num_classes=3).state_dict()
    weights["fc.weight"][1, 1] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    options = ("predict", tmp_path / "nan.pth", "--arch", "resnet18", "--num-classes", 3)
    done = loupe(*options, photographs()[0], "--what-if")
    assert done.returncode == 0, done.stderr
    assert "output is not a number (NaN or infinite) under this preprocessing" in done.stdout
    done = loupe(*options, photographs()[0], "--what-if", "--json")
    [image] = json.loads(done.stdout)["images"]
    assert {answer["top"] for answer in image["what_if"]["answers"]} == {None}


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


@pytest.fixture
def two_lists(tmp_path: Path) -> tuple[Path, ...]:
    """The command's arguments for a model whose file names its three classes in two ways."""
    saved = {"state_dict": resnet18(num_classes=3).state_dict()}
    saved |= {"classes": ["ant", "bee", "cat"], "label_names": ["Ameise", "Biene", "Katze"]}
    torch.save(saved, tmp_path / "two.pth")
    arguments = "predict", tmp_path / "two.pth", "--arch", "resnet18", "--num-classes", 3
    return (*arguments, sample_images()[0])


def test_predict_asks_which_of_two_lists_of_names_is_meant(two_lists: tuple[Path, ...]) -> None:
    unsure = loupe(*two_lists)
    assert "the checkpoint's classes and label_names differ: choose one" in unsure.stdout
    assert "class 0" in unsure.stdout
    chosen = loupe(*two_lists, "--labels-key", "label_names")
    assert "Biene" in chosen.stdout
    assert "labels: the checkpoint's own label_names" in chosen.stdout
    wrong = loupe(*two_lists, "--labels-key", "names")
    assert wrong.returncode == 2
    assert "Its lists for them are: classes and label_names." in wrong.stderr


def test_predict_asks_which_column_of_a_label_file_is_meant(
    two_lists: tuple[Path, ...], tmp_path: Path
) -> None:
    table = tmp_path / "insects.csv"
    table.write_text("id,name,latin\n2,cat,felis\n0,ant,formica\n1,bee,apis\n")
    unsure = loupe(*two_lists, "--labels", table)
    assert unsure.returncode == 2
    assert "has 2 columns that may be the names: name and latin" in unsure.stderr
    chosen = loupe(*two_lists, "--labels", table, "--labels-column", "latin")
    assert "formica" in chosen.stdout
    assert f"labels: column latin of {table}" in chosen.stdout
    alone = loupe(*two_lists, "--labels-column", "latin")
    assert alone.returncode == 2
    assert "Add --labels FILE." in alone.stderr


def test_predict_refuses_a_checkpoint_that_does_not_fit(training_file: Path) -> None:
    picture = sample_images()[0]
    done = loupe("predict", training_file, "--arch", "resnet18", picture)
    assert done.returncode == 1
    assert "run.pth does not fit torchvision resnet18: 0 of 122 keys" in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_says_what_a_model_takes_that_takes_no_single_image(tmp_path: Path) -> None:
    torch.save(raft_small().state_dict(), tmp_path / "flow.pth")
    done = loupe("predict", tmp_path / "flow.pth", "--arch", "raft_small", sample_images()[0])
    assert done.returncode == 2
    assert done.stdout == ""
    assert "takes two images" in done.stderr
    assert "Traceback" not in done.stderr


def test_predict_prints_the_pixels_classes_with_the_names_of_the_librarys_weights(
    tmp_path: Path,
) -> None:
    model = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
    torch.save(model.state_dict(), tmp_path / "pixels.pth")
    command = ("predict", tmp_path / "pixels.pth", "--arch", "lraspp_mobilenet_v3_large")
    done = loupe(*command, photographs()[0])
    assert done.returncode == 0, done.stderr
    assert "read as pixels: A map of " in done.stdout
    assert "torchvision's own weights for lraspp_mobilenet_v3_large" in done.stdout
    assert "whole images, the shorter edge resized to 520 px" in done.stdout
    done = loupe(*command, photographs()[0], "--json")
    [image] = json.loads(done.stdout)["images"]
    assert image["kind"] == "pixels"
    assert sum(each["share"] for each in image["classes"]) == pytest.approx(1)
    assert all(each["label"] in VOC for each in image["classes"])


VOC = LRASPP_MobileNet_V3_Large_Weights.DEFAULT.meta["categories"]


def test_predict_prints_a_detectors_boxes_as_text_json_and_csv(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    torch.save(model.state_dict(), tmp_path / "boxes.pth")
    arch = "ssdlite320_mobilenet_v3_large"
    command = ("predict", tmp_path / "boxes.pth", "--arch", arch, photographs()[0])
    text = loupe(*command)
    assert "read as boxes: A dict for each image, with boxes" in text.stdout
    assert "below 50 %" in text.stdout
    [image] = json.loads(loupe(*command, "--json").stdout)["images"]
    rows = list(csv.DictReader(loupe(*command, "--csv").stdout.splitlines()))
    assert len(rows) == len(image["objects"]) > 0
    first = image["objects"][0]
    assert (rows[0]["kind"], rows[0]["label"]) == ("boxes", first["label"])
    box = [float(rows[0][edge]) for edge in ("left", "top", "right", "bottom")]
    assert box == pytest.approx(first["box"], abs=0.01)


def test_predict_reads_several_labels_that_the_file_states_and_another_kind_on_demand(
    tmp_path: Path,
) -> None:
    torch.manual_seed(1)
    model = resnet18(num_classes=3)
    stated = {"config": {"problem_type": "multi_label_classification"}, "classes": ["a", "b", "c"]}
    torch.save({"state_dict": model.state_dict(), **stated}, tmp_path / "labels.pth")
    options = ("--arch", "resnet18", "--num-classes", 3, photographs()[0], "--json")
    command = ("predict", tmp_path / "labels.pth", *options)
    [labels] = json.loads(loupe(*command).stdout)["images"]
    [classes] = json.loads(loupe(*command, "--kind", "classes").stdout)["images"]
    assert (labels["kind"], classes["kind"]) == ("labels", "classes")
    assert labels["evidence"] == "The file states problem_type: multi_label_classification."
    assert sum(each["probability"] for each in classes["top"]) == pytest.approx(1)
    by_label = {each["label"]: each["probability"] for each in labels["top"]}
    logits = torch.tensor([by_label[name] for name in "abc"]).logit()
    expected = dict(zip("abc", logits.softmax(0).tolist(), strict=True))
    for each in classes["top"]:
        assert each["probability"] == pytest.approx(expected[each["label"]], rel=1e-3)
    refused = loupe(*command, "--kind", "boxes")
    assert refused.returncode == 2
    assert "It can be read as classes, probabilities, labels" in refused.stderr
    unknown = loupe(*command, "--kind", "animals")
    assert "There is no kind of answer called 'animals'." in unknown.stderr
    no_head = loupe(*command, "--head", "aux")
    assert "It has one answer." in no_head.stderr


@pytest.mark.parametrize(
    ("arch", "classes", "kind", "said"),
    [
        ("timm:test_resnet", 0, "embedding", "96 numbers, of length "),
        ("torchvision:resnet18", 1, "score", "score  (the number is "),
    ],
)
def test_predict_prints_an_embedding_and_a_score(
    tmp_path: Path, arch: str, classes: int, kind: str, said: str
) -> None:
    library, name = arch.split(":")
    make = timm.create_model if library == "timm" else get_model
    torch.save(make(name, num_classes=classes).state_dict(), tmp_path / "m.pth")
    command = ("predict", tmp_path / "m.pth", "--arch", f"{arch}?num_classes={classes}")
    done = loupe(*command, photographs()[0])
    assert done.returncode == 0, done.stderr
    assert f"read as {kind}: " in done.stdout
    assert said in done.stdout
    refused = loupe(*command, photographs()[0], "--what-if")
    assert "has no classes to compare" in refused.stderr


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
