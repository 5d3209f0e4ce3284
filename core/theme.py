"""What things look like: one colour a state, one type face, one way to write a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

ACCENT = "#3F75E6"
FONT = "Inter, system-ui, sans-serif"
MONOSPACE = "'JetBrains Mono', ui-monospace, monospace"

GREY, GREEN, AMBER, RED, VIOLET = "#7D858C", "#2E9E5B", "#C98200", "#D94A46", "#8B66E0"
TEAL, ROSE, ROSE_DEEP, BLUE = "#0FA192", "#D65C97", "#C2437F", "#4C84D8"

SLOT_COLOURS: Mapping[str, str] = {"A": TEAL, "B": ROSE}
"""Whose file it is, wherever A and B stand side by side."""

STATE_COLOURS: Mapping[str, str] = {
    "same": GREY,
    "changed": AMBER,
    "renamed": BLUE,
    "reshaped": VIOLET,
    "recast": BLUE,
    "only in A": TEAL,
    "only in B": ROSE,
    "matched": GREEN,
    "missing": RED,
    "unexpected": AMBER,
    "mismatched": VIOLET,
    "benign": GREY,
    "plain data": GREEN,
    "unknown, kept inert": AMBER,
    "would have run code": RED,
}
"""One colour a state, on every page and in every chart, legible on the light and the dark ground.

A word or a shape always goes with it: colour is never the only sign.
"""

KIND_COLOURS: Mapping[str, str] = {
    "conv": BLUE,
    "norm": AMBER,
    "norm statistics": "#A08F80",
    "attention": VIOLET,
    "linear": TEAL,
    "embedding": GREEN,
    "head": ROSE,
    "other": GREY,
}
"""One colour a kind of module (core/compare/module_kinds.py) in every chart."""

DTYPE_COLOURS: Mapping[str, str] = {
    "float32": "#4C84D8",
    "float64": "#2F5FAF",
    "float16": "#0FA192",
    "bfloat16": "#5FB24B",
    "int64": "#8A7A6D",
    "int32": "#A08F80",
    "int8": "#C98200",
    "uint8": "#D9A441",
    "bool": "#7D858C",
}


def dtype_colour(dtype: str) -> str:
    """The colour of a dtype in bars and charts."""
    return DTYPE_COLOURS.get(dtype, VIOLET)


def figure_layout(figure: go.Figure) -> go.Figure:
    """Give a plotly figure Loupe's dress; colours follow the light or dark theme in the browser.

    Returns the same figure, for chaining.
    """
    return figure.update_layout(
        font={"family": FONT, "size": 13},
        hoverlabel={"font": {"family": FONT, "size": 13}},
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        bargap=0.25,
        showlegend=False,
        modebar={"remove": ["lasso2d", "select2d", "autoScale2d"]},
    )


THIN = "\u202f"
"""A thin space that no line breaks at."""


def count(number: int) -> str:
    """A whole number with thin spaces: 11 689 512."""
    return f"{number:,}".replace(",", THIN)


def size(nbytes: float) -> str:
    """Bytes in decimal units: 44.7 MB."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while abs(nbytes) >= 999.5 and len(units) > 1:
        nbytes /= 1000
        del units[0]
    digits = f"{nbytes:.0f}" if units[0] == "B" else _three_digits(nbytes)
    return f"{digits}{THIN}{units[0]}"


def share(part: float) -> str:
    """A share between 0 and 1: 98.2%; 100% is all, and what is less is told as less."""
    return "100%" if part == 1 else f"{min(part, 0.999):.1%}"


def parameters(number: int) -> str:
    """A number of parameters: 11.69 M; exact below ten thousand."""
    if number < 10_000:
        return count(number)
    for unit in ("k", "M", "G"):
        number_in_unit = number / 1000 ** ("kMG".index(unit) + 1)
        if number_in_unit < 999.5 or unit == "G":
            break
    digits = 2 if number_in_unit < 99.995 else 1
    return f"{number_in_unit:.{digits}f}{THIN}{unit}"


def shape(sizes: Sequence[int]) -> str:
    """A tensor's shape: 64 × 3 × 7 × 7; a tensor without dimensions is a scalar."""
    return " × ".join(map(str, sizes)) or "scalar"


def duration(seconds: float) -> str:
    """A stretch of time as a person says it: 8 s, 2 min 5 s, 1 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{THIN}s"
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60}{THIN}s"
    return f"{whole // 3600}{THIN}h {whole % 3600 // 60}{THIN}min"


def _three_digits(number: float) -> str:
    return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f}"
