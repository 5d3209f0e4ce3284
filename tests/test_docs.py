"""What the documentation names exists: files, modules, names, links and make's targets."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
FOLDERS = "core|pages|tests|benchmarks|docs|samples"

each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)


def code_in(text: str) -> str:
    """What the page shows as code, in blocks and in lines."""
    block = r"^```.*?^```$"
    blocks = re.findall(block, text, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"`([^`\n]+)`", re.sub(block, "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*blocks, *lines])


def is_there(name: str) -> bool:
    """Whether a dotted name is a module's, or that of something in a module.

    Only modules of core are imported: one of pages draws its page.
    """
    module = REPOSITORY.joinpath(*name.split("."))
    if module.is_dir() or module.with_suffix(".py").is_file():
        return True
    owner, _, attribute = name.rpartition(".")
    return owner.startswith("core") and hasattr(importlib.import_module(owner), attribute)


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives the page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    code = code_in(page.read_text())
    below = re.findall(rf"(?<![\w./-])((?:{FOLDERS}|\.ci)/[\w./*-]*)", code)
    at_the_root = re.findall(r"^([\w.-]+\.(?:py|toml|lock|md|txt))$", code, re.MULTILINE)
    missing = [path for path in [*below, *at_the_root] if not list(REPOSITORY.glob(path))]
    assert not missing


@each_page
def test_every_module_and_name_that_a_page_names_exists(page: Path) -> None:
    names = re.findall(rf"(?<![\w./-])((?:{FOLDERS})(?:\.\w+)+)", code_in(page.read_text()))
    assert not [name for name in names if not is_there(name)]


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert not broken


@each_page
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z][\w-]*)", code_in(page.read_text())))
    assert named <= set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))


def test_the_readme_leads_to_every_page_and_shows_one_picture() -> None:
    links = re.findall(r"\]\(([^)]+)\)", PAGES[0].read_text())
    assert {str(page.relative_to(REPOSITORY)) for page in PAGES[1:]} <= set(links)
    assert len([link for link in links if link.endswith(".png")]) == 1


def test_the_floors_that_are_drawn_are_those_that_are_checked() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    drawing = page.partition("## The floors")[2].partition("```text\n")[2].partition("```")[0]
    configuration = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    contract = configuration["tool"]["importlinter"]["contracts"][0]
    drawn = [re.split(r"\s{2,}", line)[0] for line in drawing.splitlines()]
    assert drawn == contract["layers"]
