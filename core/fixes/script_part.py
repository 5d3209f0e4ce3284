"""A fix as lines of Python in a recipe's script, and the common forms of such lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Function: TypeAlias = Callable[..., Any] | str
"""A function whose source a script contains, or that source itself.

A script needs torch and the standard library, and nothing of Loupe. So such a function uses these
alone, and other functions that the script contains too. It runs in the script only, so its module
may import torch under TYPE_CHECKING. Where `apply` raises, the function may leave a tensor as it
is.
"""

SHAPES = "shapes = {key: value.shape for key, value in model.state_dict().items()}"
"""The line that sets `shapes` to the shapes of the script's model."""


@dataclass(frozen=True, slots=True)
class ScriptPart:
    """The code of one fix in a script.

    `lines` replace `state_dict`, and may call `functions`. `needs_model`: they use the `model` of
    the chosen architecture. `leaves_out`: they may drop tensors of the model, so that a strict load
    would fail.
    """

    lines: tuple[str, ...]
    functions: tuple[Function, ...] = ()
    needs_model: bool = False
    leaves_out: bool = False


def renaming(expression: str) -> str:
    """The line that renames every key by an expression of `key`."""
    return f"state_dict = {{{expression}: value for key, value in state_dict.items()}}"


def choosing(condition: str) -> str:
    """The line that keeps the tensors for which a condition of `key` and `value` is true."""
    return f"state_dict = {{key: value for key, value in state_dict.items() if {condition}}}"


def exchanging(expression: str) -> tuple[str, ...]:
    """The lines that replace each value by an expression of `key` and `value`."""
    return (
        "state_dict = {",
        f"    key: {expression}",
        "    for key, value in state_dict.items()",
        "}",
    )


def matches(pattern: str, syntax: str) -> str:
    """The condition that a pattern matches `key`."""
    if syntax == "glob":
        return f"fnmatch.fnmatchcase(key, {literal(pattern)})"
    return f"re.search({literal(pattern)}, key)"


def literal(text: str) -> str:
    """The text as a Python string literal; raw if it has backslashes and a raw one is possible."""
    if not text.isprintable():
        return ascii(text)
    if "\\" in text and '"' not in text and not text.endswith("\\"):
        return f'r"{text}"'
    return json.dumps(text, ensure_ascii=False)
