"""A state has one mark, one word and one colour, wherever a page draws it."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from core.theme import STATE_MARKS

PAGES = Path(__file__).parents[2] / "pages"

DRAWN = re.compile(r":(red|green|yellow|orange|violet|blue|gray)\[(?:\*\*)?(\W) \**([a-z ]+)\**\]")
"""A state in Streamlit's Markdown: its colour, its mark, its word."""


def drawn_states() -> dict[str, set[tuple[str, str]]]:
    """Each word that a page draws with a mark and a colour → these, from all texts of the code."""
    found = defaultdict(set)
    for path in PAGES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for colour, mark, word in DRAWN.findall(node.value):
                    found[word].add((mark, colour))
    return found


def test_a_word_has_the_same_mark_and_colour_on_every_page() -> None:
    found = drawn_states()
    assert {"sure", "fits", "loaded", "needs repair"} <= set(found)
    assert {word: looks for word, looks in found.items() if len(looks) > 1} == {}


@pytest.mark.parametrize("state", list(STATE_MARKS))
def test_a_word_of_a_table_has_the_table_s_mark(state: str) -> None:
    for mark, _ in drawn_states().get(str(state), ()):
        assert mark == STATE_MARKS[state].sign
