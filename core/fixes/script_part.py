"""A fix as lines of Python in a recipe's script, and how their texts are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Function: TypeAlias = Callable[..., Any] | str
"""A function whose source a script carries, or that source itself.

Scripts need torch and the standard library, and nothing of Loupe. So such a function uses these
alone, and other functions that the script carries too; what it names of torch may be imported for
type checkers alone, since it runs only there. What `apply` refuses, it may leave as it is.
"""

SHAPES = "shapes = {key: value.shape for key, value in model.state_dict().items()}"
"""The line that gives `shapes`, those that the script's model wants."""


@dataclass(frozen=True, slots=True)
class ScriptPart:
    """What a script says for one fix.

    `lines` make a new `state_dict` of the one before, and may call `functions`. `needs_model`: they
    go by the `model` of the chosen architecture. `leaves_out`: of what the model wants, the fix may
    take tensors away, so that a strict load would fail.
    """

    lines: tuple[str, ...]
    functions: tuple[Function, ...] = ()
    needs_model: bool = False
    leaves_out: bool = False


def renaming(expression: str) -> str:
    """The line that gives every key the new name that an expression of `key` is."""
    return f"state_dict = {{{expression}: value for key, value in state_dict.items()}}"


def choosing(condition: str) -> str:
    """The line that keeps the tensors for which a condition of `key` and `value` holds."""
    return f"state_dict = {{key: value for key, value in state_dict.items() if {condition}}}"


def exchanging(expression: str) -> tuple[str, ...]:
    """The lines that put an expression of `key` and `value` in each value's place."""
    return (
        "state_dict = {",
        f"    key: {expression}",
        "    for key, value in state_dict.items()",
        "}",
    )


def matches(pattern: str, syntax: str) -> str:
    """The condition that a pattern finds `key`."""
    if syntax == "glob":
        return f"fnmatch.fnmatchcase(key, {literal(pattern)})"
    return f"re.search({literal(pattern)}, key)"


def literal(text: str) -> str:
    """The text as a Python string, raw where it has backslashes and can be."""
    if not text.isprintable():
        return ascii(text)
    if "\\" in text and '"' not in text and not text.endswith("\\"):
        return f'r"{text}"'
    return json.dumps(text, ensure_ascii=False)
