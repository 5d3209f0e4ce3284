"""`loupe`, run as a user runs it: its help, its errors, and text from files in a terminal."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.core.cli.process import LOUPE, loupe

pytestmark = pytest.mark.slow


def test_help_names_every_command_and_each_has_its_own() -> None:
    helped = loupe("--help")
    assert helped.returncode == 0
    assert helped.stdout.startswith("usage: loupe [FILE ...] [--port PORT] [--address ADDRESS]\n")
    commands = re.findall(r"^    ([a-z-]+)  ", helped.stdout, re.MULTILINE)
    assert commands == [
        *("inspect", "identify", "fit", "fix", "predict", "explain", "evaluate"),
        *("compare", "text", "git-diff"),
    ]
    for command in commands:
        own = loupe(command, "--help")
        assert own.returncode == 0
        assert own.stdout.startswith(f"usage: loupe {command} ")


def test_what_a_command_does_not_know_is_said_with_its_own_usage() -> None:
    ended = loupe("inspect", "model.pth", "--nonsense")
    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: loupe inspect ")
    assert "loupe inspect: error: unrecognized arguments: --nonsense" in ended.stderr


def test_a_file_of_the_app_may_be_named_like_a_command() -> None:
    ended = loupe("--port", 8502, "inspect")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "loupe: There is no file inspect. Check the path.\n"


@pytest.mark.parametrize(
    "module", ["argparse", "core.cli.commands", "core.checkpoint", "core.cli.git"]
)
def test_ctrl_c_while_python_imports_the_commands_is_a_line(module: str) -> None:
    script = (
        "import os, signal, sys\n"
        # A shell has what it starts in the background ignore Ctrl-C, and so may this test's.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class CtrlC:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == sys.argv[1]:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, CtrlC())\n"
        "from core.cli import main\n"
        "sys.exit(main(['--help']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, module], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "loupe: stopped.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "/nowhere/at/all.pth"],
        ["inspect", Path(__file__)],
        ["fit", Path(__file__), "--arch", "resnet18"],
        ["/nowhere/at/all.pth"],
    ],
)
def test_trouble_is_one_sentence_on_stderr_and_exit_status_2(arguments: list[object]) -> None:
    done = loupe(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("loupe: ")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_architecture_is_named_with_the_nearest(training_file: Path) -> None:
    done = loupe("fit", training_file, "--arch", "resnet81")
    assert done.returncode == 2
    assert "resnet18" in done.stderr


def test_the_owners_own_architecture_is_known_once_the_configuration_names_it(
    training_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "cli_own_models.py").write_text(
        "from torchvision.models import resnet18\n\n\n"
        "def small():\n    return resnet18(num_classes=10)\n"
    )
    asked = [
        "fit",
        training_file,
        "--arch",
        "own:cli_own_models.small",
        "--strip-prefix",
        "module.",
    ]
    named = loupe(*asked, PYTHONPATH=str(tmp_path), LOUPE_MODELS="cli_own_models:small")
    assert named.returncode == 0, named.stderr
    unnamed = loupe(*asked, PYTHONPATH=str(tmp_path), LOUPE_MODELS="")
    assert unnamed.returncode == 2
    assert "No architecture is called" in unnamed.stderr


def test_names_from_a_file_do_nothing_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({"\x1b]0;title\x07\n": torch.zeros(1), "\ud800": torch.zeros(1)}, path)
    shown = loupe("inspect", path)
    assert "\\x1b]0;title\\x07\\n" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "\\ud800" in shown.stdout
    told = json.loads(loupe("inspect", path, "--json").stdout)
    assert [tensor["key"] for tensor in told["tensors"]] == ["\x1b]0;title\x07\n", "\ud800"]


def test_hostile_texts_reach_no_terminal_raw_nor_in_full(
    tmp_path: Path,
) -> None:
    state = {
        "L" * 100_000: torch.ones(2),
        "\x1b[31mred\x1b[0m\x07": torch.ones(2),
        "two\nlines": torch.ones(2),
        "\u202egnp.exe": torch.ones(2),
    }
    a, b = tmp_path / "a.pth", tmp_path / "b.pth"
    torch.save({"state_dict": state, "note": "\x1b]0;title\x07" + "N" * 100_000}, a)
    torch.save({"state_dict": {key: each + 1 for key, each in state.items()}}, b)
    for arguments in (
        ["inspect", str(a)],
        ["compare", str(a), str(b)],
        ["compare", str(a), str(b), "--stat"],
        ["fit", str(a), "--arch", "torchvision:resnet18"],
        ["identify", str(a)],
    ):
        ended = loupe(*arguments)
        said = ended.stdout + ended.stderr
        assert len(said) < 20_000, arguments
        assert not set(said) & {"\x1b", "\x07", "\u202e"}, arguments


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_command_whose_output_nobody_takes_ends_as_any_other(
    training_file: Path, closed: str
) -> None:
    for options in ("", "--json", "--verify"):
        command = f'"{LOUPE}" inspect "{training_file}" {options} {closed}'
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
