"""Each command says first what a file would have run elsewhere, whatever else it answers."""

import json
import os
from pathlib import Path

import pytest
import torch

from tests.core.cli.process import loupe


class Command:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo never",)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.pth"
    torch.save({"w": torch.ones(2, 2), "x": Command()}, path)
    return path


COMMANDS = {
    "inspect": ["inspect", "FILE"],
    "identify": ["identify", "FILE"],
    "fit": ["fit", "FILE", "--arch", "resnet18"],
    "fix": ["fix", "FILE", "OUT"],
    "compare": ["compare", "FILE", "FILE"],
    "compare --stat": ["compare", "FILE", "FILE", "--stat"],
    "predict": ["predict", "FILE", "IMAGE", "--arch", "resnet18"],
}
IMAGE = next((Path(__file__).parents[3] / "samples" / "images").iterdir())


def arguments(command: str, file: Path) -> list[str]:
    places = {"FILE": file, "OUT": file.with_name("out.safetensors"), "IMAGE": IMAGE}
    return [str(places.get(word, word)) for word in COMMANDS[command]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_a_file_with_tensors(file: Path, command: str) -> None:
    result = loupe(*arguments(command, file))
    first = result.stdout.splitlines()[0]
    assert first.startswith(f"danger: m.pth would have run {os.name}.system when loaded")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_on_a_file_without_tensors(file: Path, command: str) -> None:
    torch.save(Command(), file)
    result = loupe(*arguments(command, file))
    assert result.returncode == 2
    told = f"loupe: The file would have run {os.name}.system when loaded."
    assert result.stderr.splitlines()[-1].startswith(told)


@pytest.mark.parametrize("command", ["inspect", "identify", "compare"])
def test_a_document_stays_a_document(file: Path, command: str) -> None:
    result = loupe(*arguments(command, file), "--json")
    json.loads(result.stdout)
    assert result.stderr.startswith(f"danger: m.pth would have run {os.name}.system")


def test_a_comparison_s_document_and_report_tell_it(file: Path) -> None:
    told = f"m.pth would have run {os.name}.system when loaded"
    document = json.loads(loupe("compare", str(file), str(file), "--json").stdout)
    assert document["a"]["danger"].startswith(told)
    assert document["b"]["danger"].startswith(told)
    report = file.with_name("report.html")
    loupe("compare", str(file), str(file), "--html", str(report))
    page = report.read_text()
    assert told in page[: page.index("<h1>")]


def test_the_text_for_git_tells_it_first(file: Path) -> None:
    first = loupe("text", str(file)).stdout.splitlines()[0]
    assert first.startswith(f"danger: The file would have run {os.name}.system when loaded")


def test_a_plain_file_is_no_danger(file: Path) -> None:
    torch.save({"w": torch.ones(2, 2)}, file)
    result = loupe("inspect", file)
    assert "danger" not in result.stdout + result.stderr
    assert "danger" not in loupe("text", str(file)).stdout
    document = json.loads(loupe("compare", str(file), str(file), "--json").stdout)
    assert document["a"]["danger"] == ""
