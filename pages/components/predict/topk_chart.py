"""The most probable classes of one picture as bars, in percent from 0 to 100."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap

import plotly.graph_objects as go
import streamlit as st

from core.predict import Bar
from core.theme import SLOT_COLOURS, figure_layout

LETTERS, LINE, BAR, GAP = 44, 20, 12, 12
"""A label's letters a line on the narrowest screen, and the pixels of a line of it, of a bar and
below it."""

TRACK = "rgba(128, 128, 128, 0.16)"


STYLE = "<style>.stPlotlyChart .annotation-text{fill:currentColor !important}</style>"
"""Words in the page's own text colour, whichever theme is chosen: Streamlit draws them paler."""


def topk_chart(bars: Sequence[Bar], slot: str, key: str) -> None:
    """Draw the bars from the most probable down, each with its label above and its value at the
    end. The scale is the same in every chart, and so is a slot's colour."""
    figure = topk_figure(bars, slot)
    spoken = ", ".join(f"{bar.label} {percent(bar.probability)}" for bar in bars)
    config = {"displayModeBar": False}
    st.html(STYLE)
    st.plotly_chart(figure, key=key, alt=f"{slot}: {spoken}", config=config)


def topk_figure(bars: Sequence[Bar], slot: str) -> go.Figure:
    """The figure; its y axis counts pixels from the top, so that long labels get more lines.

    The label of the most probable class is bold.
    """
    lines = [wrap(bar.label, LETTERS) or [" "] for bar in bars]
    tops, height = [], 0
    for label in lines:
        tops.append(height)
        height += len(label) * LINE + BAR + GAP
    centres = [top + len(label) * LINE + BAR / 2 for top, label in zip(tops, lines, strict=True)]
    highest = max((bar.probability or 0.0 for bar in bars), default=0.0)
    values = [100 * (bar.probability or 0.0) for bar in bars]
    figure = go.Figure(
        [
            go.Bar(
                x=[100] * len(bars),
                y=centres,
                width=BAR,
                orientation="h",
                marker={"color": TRACK, "line_width": 0},
                hoverinfo="skip",
            ),
            go.Bar(
                x=values,
                y=centres,
                width=BAR,
                orientation="h",
                marker={"color": SLOT_COLOURS[slot], "line_width": 0},
                customdata=[escape(bar.label, quote=False) for bar in bars],
                hovertemplate="%{customdata}<br>%{x:.4f} %<extra></extra>",
            ),
        ]
    )
    for bar, label, top, centre in zip(bars, lines, tops, centres, strict=True):
        text = "<br>".join(escape(line, quote=False) for line in label)
        text = f"<b>{text}</b>" if bar.probability == highest else text
        figure.add_annotation(
            x=0, y=top, text=text, xanchor="left", yanchor="top", align="left", showarrow=False
        )
        figure.add_annotation(
            x=101.5, y=centre, text=percent(bar.probability), xanchor="left", showarrow=False
        )
    return figure_layout(figure).update_layout(
        height=height + 4,
        margin={"l": 0, "r": 0, "t": 2, "b": 2},
        barmode="overlay",
        showlegend=False,
        dragmode=False,
        xaxis={"range": [0, 124], "visible": False, "fixedrange": True},
        yaxis={"range": [height, 0], "visible": False, "fixedrange": True},
    )


def percent(probability: float | None) -> str:
    """`0.9972` → `99.72 %`; a dash where there is none."""
    return "–" if probability is None else f"{100 * probability:.2f}\u202f%"
