"""`loupe evaluate`, run as a user runs it: figures, what is left out, its exit status."""

import csv
import json
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torchvision.models import resnet18

from core.server import SAMPLES
from tests.core.cli.process import loupe
from tests.core.evaluate.small_classifiers import DIGITS, digit_folders

pytestmark = pytest.mark.slow

ARCHITECTURE = ("--arch", "shufflenet_v2_x0_5", "--num-classes", 10, "--strip-prefix", "module.")
SAMPLE = ("evaluate", SAMPLES["final"].path, *ARCHITECTURE)


def test_evaluate_prints_the_accuracy_and_what_it_mistakes(tmp_path: Path) -> None:
    done = loupe(*SAMPLE, digit_folders(tmp_path), "--min-accuracy", 0.875)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "accuracy: 87.50 % (7 of 8 images; 95 % interval: 52.91 % to 97.76 %)\n"
    )
    for said in (
        "top-5: 100.00 % (8 of 8 images;",
        "calibration error (ECE, 15 bins): 4.84 %",
        "two/0_digit_2_a.png  two  one        54.39 %",
        "labels: the checkpoint's own classes",
        "preprocessing: 64 px, bilinear",
    ):
        assert said in done.stdout
    assert "left out" not in done.stdout
    assert loupe(*SAMPLE, tmp_path, "--min-accuracy", 0.876).returncode == 1


def test_evaluate_names_what_it_leaves_out(tmp_path: Path) -> None:
    digit_folders(tmp_path)
    (tmp_path / "eleven").mkdir()
    (tmp_path / "eleven" / "a.png").write_bytes(b"no image")
    unmapped = loupe(*SAMPLE, tmp_path)
    assert unmapped.returncode == 0
    assert "1 image of 1 label that is no class of the model: eleven" in unmapped.stdout
    (tmp_path / "four" / "broken.png").write_bytes(b"no image")
    broken = loupe(*SAMPLE, tmp_path)
    assert broken.returncode == 1
    assert "left out: 1 image that cannot be read\n  four/broken.png: " in broken.stdout
    assert "7 of 8 images" in broken.stdout


def test_evaluate_compares_two_checkpoints_as_json(tmp_path: Path) -> None:
    asked = (*SAMPLE, digit_folders(tmp_path), "--against", SAMPLES["early"].path)
    told = json.loads(loupe(*asked, "--json").stdout)
    assert (told["accuracy"]["number"], told["against"]["accuracy"]["number"]) == (7, 3)
    paired = told["paired"]
    assert (paired["images"], paired["first_only"], paired["second_only"]) == (8, 4, 0)
    assert paired["mcnemar_p"] == 0.125
    assert {each["right"] for each in paired["changes"]} == {"first"}
    assert told["confusions"] == [{"label": "two", "predicted": "one", "images": 1}]
    assert sum(each["images"] for each in told["reliability"]) == 8
    printed = loupe(*asked).stdout
    assert "McNemar's exact test gives p = 0.125." in printed


def test_evaluate_prints_a_row_for_each_class_as_csv(tmp_path: Path) -> None:
    listed = tmp_path / "set.csv"
    folders = digit_folders(tmp_path / "images")
    files = sorted(folders.rglob("*.png"))
    rows = [f"{path.relative_to(tmp_path)},{DIGITS.index(path.parent.name)}" for path in files]
    listed.write_text("path,label\n" + "\n".join(rows))
    done = loupe(*SAMPLE, listed, "--csv")
    assert done.returncode == 0, done.stderr
    by_name = {row["label"]: row for row in csv.DictReader(done.stdout.splitlines())}
    eight = by_name["eight"]
    assert (eight["class_index"], eight["images"], eight["right"]) == ("8", "2", "2")
    assert by_name["two"]["precision"] == ""
    assert by_name["two"]["recall"] == by_name["one"]["precision"] == "0.0"


def test_evaluate_refuses_with_a_sentence(tmp_path: Path) -> None:
    folder = digit_folders(tmp_path / "images")
    strange = digit_folders(tmp_path / "strange").rename(tmp_path / "moved") / "two"
    for arguments, said in (
        ((tmp_path / "gone",), "does not exist"),
        ((strange,), "The images are in no folders"),
        ((folder, "--min-accuracy", 87), "87 is not from 0 to 1"),
        ((folder, "--csv", "--json"), "Leave out --json."),
        ((folder, "--head", "aux"), "no head called 'aux'"),
        ((folder, "--kind", "labels"), "invalid choice: 'labels'"),
    ):
        done = loupe(*SAMPLE, *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert said in done.stderr
    save_file(resnet18(num_classes=10).state_dict(), tmp_path / "other.safetensors")
    named = tmp_path / "other.safetensors"
    unlike = loupe("evaluate", named, "--arch", "resnet18", "--num-classes", 10, folder)
    assert unlike.returncode == 2
    assert "None of the labels is a class of the model: eight, four" in unlike.stderr
    assert loupe("evaluate", named, *ARCHITECTURE, folder).returncode == 1
