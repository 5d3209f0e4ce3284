"""The commands of docs/repairing.md run in their order, and say what the page says they say."""

import json
import re
import shlex
from pathlib import Path

import pytest

from core.architectures import parse_architecture
from core.cli import main
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
    folder: Path,
    command: str,
    output: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    loupe, *words = shlex.split(command)
    assert loupe == "loupe"
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LOUPE_DATA", str(folder))
    status = main(words)
    said = capfd.readouterr()
    assert status == 0, said.err
    shown = [line.split() for line in output.splitlines()]
    assert shown
    lines = [line.split() for line in said.out.splitlines()]
    assert [line for line in lines if line in shown] == shown


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_of_the_page_is_one(recipe: str) -> None:
    assert recipe_file_from_json(json.loads(recipe)).recipe.steps


def test_the_steps_that_the_page_names_exist() -> None:
    named = set(re.findall(r"`([a-z]+_[a-z]+)`", PAGE))
    fixes = named & set(NAMES)
    assert {"resample_positions", "drop_mismatched"} <= fixes


def test_the_fields_that_the_page_names_are_those_of_the_json(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LOUPE_DATA", str(folder))
    assert main(["identify", "samples/digits_final.pth", "--json"]) == 0
    table = PAGE.partition("| field |")[2].partition("\n\n")[0]
    fields = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    assert fields
    assert set(fields) == set(json.loads(capsys.readouterr().out)[0])
