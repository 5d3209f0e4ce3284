"""`loupe fit`, run as a user runs it: a process, its output, its exit status."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from torchvision.models import resnet18

from core.fit.index import find_index
from tests.core.cli.process import loupe

pytestmark = pytest.mark.slow


def test_fit_exits_1_with_the_repair_and_0_once_it_is_taken(training_file: Path) -> None:
    before = loupe("fit", training_file, "--arch", "resnet18", "--num-classes", 10)
    assert before.returncode == 1
    assert "repair: strip `module.`: 0 → 122 of 122 keys\n" in before.stdout
    assert "        All 122 keys begin with `module.`" in before.stdout
    after = loupe(
        *("fit", training_file, "--arch", "resnet18", "--num-classes", 10),
        *("--strip-prefix", "module.", "--json"),
    )
    assert after.returncode == 0
    told = json.loads(after.stdout)
    assert told["fits"] is True
    assert told["matched"] == len(resnet18().state_dict())
    assert told["missing_keys"] == told["unexpected_keys"] == told["mismatched"] == []


def test_fit_gives_each_repair_its_reason_and_the_option_once(training_file: Path) -> None:
    given = ("--arch", "resnet18", "--strip-prefix", "module.")
    assert loupe("fit", training_file, *given).stdout.splitlines() == [
        "Does not fit torchvision resnet18: 120 of 122 keys match, 2 differ in shape.",
        "",
        "mismatched (2)",
        "  fc.weight: 10 × 512 in the file, 1000 × 512 in the model",
        "  fc.bias: 10 in the file, 1000 in the model",
        "",
        "repair: drop what has another shape: 2 keys dropped, 120 of 122 keys match",
        "        `fc.weight` and `fc.bias` have another shape in the model.",
        "option: The file's head has 10 classes, the model's 1,000: set num_classes=10 to load the "
        "whole head. The tensors do not say which row is which class, so no rows are selected.",
    ]


def test_a_known_architecture_is_fitted_without_its_library(training_file: Path) -> None:
    """The imports would take most of the time."""
    if find_index() is None:
        pytest.skip("Loupe comes with the index of other versions of torchvision and timm")
    for command in (["identify"], ["fit", "--arch", "resnet18", "--num-classes", "10"]):
        program = (
            "import sys; from core.cli import main; main(sys.argv[1:]);"
            "sys.exit(bool({'torch', 'torchvision', 'timm', 'streamlit'} & {*sys.modules}))"
        )
        words = [sys.executable, "-c", program, *command, str(training_file)]
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
