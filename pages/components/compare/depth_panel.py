"""Draws the change by depth; a click on a block chooses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from core.compare.report import DepthChart
from core.plain_text import visible
from pages.components.panels.own_component import own_component

_FOLDER = Path(__file__).parent / "depth_widget"

SIGNS = {
    "same": ("0\u202f%", "below the axis: no change"),
    "from zero": ("∞", "from all zeros in A"),
    "not measured": ("?", "not measured"),
}
"""What is not a change → how it is drawn, and what the legend says of it."""


HINT = "click to filter"


def depth_panel(
    chart: DepthChart, key: str, chosen: str | None, choose: Callable[[str | None], None]
) -> None:
    """Draw the chart with the block that is `chosen`. A click on a block calls `choose` with its
    name, a second one with None."""

    def clicked() -> None:
        at = st.session_state[key].get("block")
        if isinstance(at, int) and 0 <= at < len(chart.blocks):
            name = chart.blocks[at]
            choose(None if name == chosen else name)

    at = chart.blocks.index(chosen) if chosen in chart.blocks else None
    own_component(_FOLDER, "depth")(
        key=key, data={**_data(chart), "chosen": at}, on_block_change=clicked
    )


def _data(chart: DepthChart) -> dict[str, Any]:
    """The chart as the browser takes it. Names of blocks come from files."""
    return {
        "blocks": [visible(name) for name in chart.blocks],
        "labels": chart.labels,
        "facts": chart.facts,
        "lines": [
            {
                "title": line.title,
                "weights": line.is_weights,
                "points": [
                    point and {"state": point.state, "change": point.change, "text": point.text}
                    for point in line.points
                ],
            }
            for line in chart.lines
        ],
        "ticks": chart.ticks,
        "low": chart.low,
        "high": chart.high,
        "labelled": chart.labelled,
        "hint": HINT,
        "signs": [sign for state, sign in SIGNS.items() if state in chart.states],
    }
