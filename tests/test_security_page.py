"""Each threat of docs/security.md names the tests that hold it."""

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "security.md").read_text()
THREATS = [
    cells
    for line in PAGE.splitlines()
    if line.startswith("| ") and not re.match(r"\| (threat|---) ", line)
    for cells in [[cell.strip() for cell in line.strip("|").split(" | ")]]
]


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat[0][:40])
def test_the_tests_that_hold_a_threat_are_there(threat: list[str]) -> None:
    _, _, tests = threat
    named = re.findall(r"`([^`]+)`", tests)
    assert named
    for each in named:
        file, _, name = each.partition("::")
        functions = {
            node.name
            for node in ast.parse((REPOSITORY / file).read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        }
        assert functions, f"{file} holds no test"
        assert not name or name in functions, f"{each} is no test"


def test_the_readme_leads_to_the_page() -> None:
    assert "docs/security.md" in (REPOSITORY / "README.md").read_text()
