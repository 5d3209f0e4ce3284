"""The commands of docs/repairing.md run in their order, and say what the page says they say."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from core.architectures import parse_architecture
from core.fit.index import build_index, index_path, installed_versions, save_index
from core.recipe import NAMES, recipe_file_from_json

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "repairing.md").read_text()
RECIPES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"```console\n\$ (.*?)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the page has it, and an index where Loupe came with none."""
    path = tmp_path_factory.mktemp("page")
    (path / "samples").symlink_to(REPOSITORY / "samples")
    (path / "recipe.json").write_text(RECIPES[0])
    versions = installed_versions()
    known = [parse_architecture("torchvision:shufflenet_v2_x0_5")]
    save_index(build_index(versions, 1, architectures=known), index_path(path, versions))
    return path


@pytest.mark.parametrize(("command", "output"), COMMANDS, ids=[one for one, _ in COMMANDS])
def test_a_command_of_the_page_says_what_the_page_shows(
    folder: Path, command: str, output: str
) -> None:
    loupe, *words = shlex.split(command)
    done = subprocess.run(
        [REPOSITORY / ".venv" / "bin" / loupe, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LOUPE_DATA": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    shown = [line.split() for line in output.splitlines()]
    assert shown
    said = [line.split() for line in done.stdout.splitlines()]
    assert [line for line in said if line in shown] == shown


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_of_the_page_is_one(recipe: str) -> None:
    assert recipe_file_from_json(json.loads(recipe)).recipe.steps


def test_the_steps_that_the_page_names_exist() -> None:
    named = set(re.findall(r"`([a-z]+_[a-z]+)`", PAGE))
    fixes = named & set(NAMES)
    assert {"resample_positions", "drop_mismatched"} <= fixes


def test_the_fields_that_the_page_names_are_those_of_the_json(folder: Path) -> None:
    command = [REPOSITORY / ".venv/bin/loupe", "identify", "samples/digits_final.pth", "--json"]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LOUPE_DATA": str(folder)},
    )
    table = PAGE.partition("| field |")[2].partition("\n\n")[0]
    fields = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    assert fields
    assert set(fields) == set(json.loads(done.stdout)[0])
