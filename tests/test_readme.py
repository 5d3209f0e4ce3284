"""The README's commands run, its formats are those that open, and the table of variables in
docs/server.md is what the server reads."""

import re
import shlex
import subprocess
from glob import glob
from pathlib import Path

import pytest
import torch
from huggingface_hub import save_torch_state_dict

from core.checkpoint import FORMATS
from core.cli import main
from core.server import read_settings
from core.server.files import SUFFIXES

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
SERVER = (REPOSITORY / "docs" / "server.md").read_text()

COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
RUN_HERE = r"\.venv/bin/loupe (inspect|compare|evaluate|explain|fit|identify|fix|predict)"
LOUPE_COMMANDS = [line for line in COMMANDS if re.match(RUN_HERE, line)]


@pytest.mark.slow
@pytest.mark.filterwarnings("error::UserWarning", "error::FutureWarning", "error::RuntimeWarning")
@pytest.mark.parametrize("command", LOUPE_COMMANDS)
def test_a_command_of_the_readme_works_as_typed(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [
        found
        for word in shlex.split(command)
        for found in (sorted(glob(word, root_dir=REPOSITORY)) if "*" in word else [word])
    ]
    monkeypatch.chdir(REPOSITORY)
    status = main(words[1:])  # what the script calls, without another import of PyTorch
    said = capfd.readouterr()
    assert status == (1 if words[1] == "compare" else 0), said.err
    assert said.out
    assert not said.err


def test_the_table_of_variables_gives_the_real_defaults() -> None:
    rows = dict(re.findall(r"^\| `(LOUPE_\w+)` \|.*\| (.*?) \|$", SERVER, re.MULTILINE))
    told = {name: default.strip("`") for name, default in rows.items() if default != "none"}
    assert read_settings(told) == read_settings({})
    assert set(rows) == {
        "LOUPE_DATA",
        "LOUPE_HOSTS",
        "LOUPE_LARGEST_FILE",
        "LOUPE_MODELS",
        "LOUPE_MODEL_MEMORY",
        "LOUPE_QUOTA",
        "LOUPE_ROOTS",
    }


def test_the_table_of_what_opens_has_every_format() -> None:
    rows = re.findall(r"^\| (.*?) \| .* \|$", README.partition("## What opens")[2], re.MULTILINE)
    assert {*FORMATS.values()} <= {*rows}
    for suffix in SUFFIXES:
        assert f"{suffix}`" in README


@pytest.mark.slow
def test_a_folder_is_inspected_as_the_readme_says(tmp_path: Path) -> None:
    assert "`loupe inspect FOLDER`" in README
    weights = {f"layer{index}.weight": torch.ones(64, 8) for index in range(6)}
    save_torch_state_dict(weights, tmp_path, max_shard_size=5_000)
    command = [".venv/bin/loupe", "inspect", str(tmp_path), "--verify"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "layer5.weight" in done.stdout
