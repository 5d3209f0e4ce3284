"""Colours, sizes and words of the screen, in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

ACCENT = "#2a9d95"
"""The one accent colour; it reads on light and on dark."""

SLOT_COLOURS: Mapping[str, str] = {"A": ACCENT, "B": "#d07a3c"}

STATE_COLOURS: Mapping[str, str] = {
    "same": "#8a949e",
    "changed": "#d07a3c",
    "reshaped": "#b35cb8",
    "recast": "#5b82d1",
    "only in A": "#c4574f",
    "only in B": "#4f9e57",
    "matched": "#4f9e57",
    "missing": "#c4574f",
    "unexpected": "#d07a3c",
    "mismatched": "#b35cb8",
    "benign": "#8a949e",
    "plain data": "#4f9e57",
    "unknown, kept inert": "#5b82d1",
    "would have run code": "#c4574f",
}
"""A state has one colour on every page and in every chart; a word always goes with it."""

THIN_SPACE = "\u202f"


def figure_layout(figure: go.Figure) -> go.Figure:
    """Give a figure the app's type face and margins; its colours follow Streamlit's theme."""
    return figure.update_layout(
        font={"family": "Inter, sans-serif", "size": 13},
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hoverlabel={"font": {"family": "Inter, sans-serif"}},
        separators="." + THIN_SPACE,
    )


def count(number: int) -> str:
    """1234567 → 1 234 567, with thin spaces."""
    return f"{number:,}".replace(",", THIN_SPACE)


def size(nbytes: int) -> str:
    """Bytes with their unit, in powers of ten: 46800000 → 46.8 MB."""
    for unit, divisor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= divisor:
            return f"{nbytes / divisor:.1f} {unit}"
    return f"{nbytes} B"


def parameters(number: int) -> str:
    """A count of parameters as people say it: 11689512 → 11.69 M."""
    for unit, divisor in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= divisor:
            return f"{number / divisor:.2f} {unit}"
    return str(number)


def shape(lengths: Sequence[int]) -> str:
    """(64, 3, 7, 7) → 64 × 3 × 7 × 7; a tensor without dimensions is a scalar."""
    return " × ".join(map(str, lengths)) or "scalar"


def plain(text: str) -> str:
    """Words from a file or of a person, safe from being read as Markdown."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>$:~#!|" else sign for sign in text)
