"""Colours and fonts: the same state has the same colour on every page and in every chart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

ACCENT = "#3F75E6"
TREEMAP = "#7A9BE3"
"""The one hue of a treemap's modules: a state or a slot has the other colours."""

FONT = "Inter, system-ui, sans-serif"
MONOSPACE = "'JetBrains Mono', ui-monospace, monospace"

GREY, GREEN, AMBER, RED, VIOLET = "#7D858C", "#2E9E5B", "#C98200", "#D94A46", "#8B66E0"
TEAL, ROSE, ROSE_DEEP, BLUE = "#0FA192", "#D65C97", "#C2437F", "#4C84D8"

SLOT_COLOURS: Mapping[str, str] = {"A": TEAL, "B": ROSE}
"""The colour of each slot, wherever A and B are shown together."""

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
"""One colour per state, on every page and in every chart, legible on the light and the dark
background.

Colour is never the only sign: a word or a shape always goes with it.
"""


@dataclass(frozen=True, slots=True)
class StateMark:
    """How a state is written: a sign that goes with its word, and the colour of both on the light
    and on the dark ground. Each has a contrast of at least 5 to 1."""

    sign: str
    light: str
    dark: str

    @property
    def colour(self) -> str:
        """The colour in CSS, which follows the theme when it is switched."""
        return f"light-dark({self.light}, {self.dark})"


_SAME = StateMark("=", "#5F676D", "#9AA3A8")
_FITS = StateMark("✓", "#1C7740", "#4CC07D")
_CHANGED = StateMark("~", "#8A5A00", "#DDA52E")
_LACKING = StateMark("−", "#BF2F2C", "#F0716D")
_OTHER_SHAPE = StateMark("≠", "#6D43C9", "#AE93F5")

STATE_MARKS: Mapping[str, StateMark] = {
    "same": _SAME,
    "agree": _SAME,
    "differ": _CHANGED,
    "no answer": _LACKING,
    "benign": _SAME,
    "matched": _FITS,
    "changed": _CHANGED,
    "renamed": StateMark("→", "#0A6A93", "#4DB4DD"),
    "mismatched": _OTHER_SHAPE,
    "reshaped": _OTHER_SHAPE,
    "recast": StateMark("⇄", "#8A3F8F", "#D08AD6"),
    "missing": _LACKING,
    "unexpected": StateMark("+", "#B0480E", "#EC8F52"),
    "only in A": StateMark("A", "#0B766C", "#34C3B3"),
    "only in B": StateMark("B", "#B83375", "#EC7DB2"),
}
"""The mark of each state of a key or an image, on every page."""

SLOT_FILLS: Mapping[str, str] = {
    slot: STATE_MARKS[f"only in {slot}"].colour for slot in SLOT_COLOURS
}
"""The colour of a slot's bars in CSS, which follows the theme when it is switched."""

CHANGED_FILL = "light-dark(#B97C14, #DDA52E)"
"""The filling of a bar that says how much has changed, in CSS. It is lighter than the sign's
colour, since 3 to 1 is contrast enough for a surface."""

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
"""One colour per kind of module (core/compare/module_kind.py), in every chart."""

SEPARATORS = ".\u202f"
"""A figure's signs before decimals and between thousands: a point, and wording.count's thin
space."""

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
    """The colour of a dtype in bars and charts; violet for a dtype that is not listed."""
    return DTYPE_COLOURS.get(dtype, VIOLET)


def figure_layout(figure: go.Figure) -> go.Figure:
    """Apply Loupe's font, separators, margins and transparent background to a plotly figure.

    Text colours are left out, so that they follow the light or dark theme in the browser. Returns
    the same figure, for chaining.
    """
    return figure.update_layout(
        font={"family": FONT, "size": 13},
        hoverlabel={"font": {"family": FONT, "size": 13}},
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        bargap=0.25,
        showlegend=False,
        separators=SEPARATORS,
        modebar={"remove": ["lasso2d", "select2d", "autoScale2d"]},
    )
