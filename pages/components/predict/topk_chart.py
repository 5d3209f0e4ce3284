"""The most probable classes of one image as bars, in percent from 0 to 100."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap

import plotly.graph_objects as go
import streamlit as st

from core.predict import Bar
from core.theme import SLOT_COLOURS, figure_layout
from core.wording import THIN, probability_text

LETTERS, LINE, BAR, GAP = 44, 20, 12, 12
"""The characters per line of a label on the narrowest screen; and the pixels of a line, of a bar
and of the space below a bar."""

TRACK = "rgba(128, 128, 128, 0.16)"


STYLE = "<style>.stPlotlyChart .annotation-text{fill:currentColor !important}</style>"
"""Gives the labels the page's own text colour in both themes; Streamlit draws them paler."""


def topk_chart(bars: Sequence[Bar], slot: str, key: str) -> None:
    """Draw the bars in their order, each with its label above it and its value at its end. The
    scale and the slot's colour are the same in every chart."""
    figure = topk_figure(bars, slot)
    spoken = ", ".join(f"{bar.label} {probability_text(bar.probability)}" for bar in bars)
    config = {"displayModeBar": False}
    st.html(STYLE)
    st.plotly_chart(figure, key=key, alt=f"{slot}: {spoken}", config=config)


def _colour(slot: str) -> str:
    """The slot's colour; of `A as …`, which is drawn beside A alone, the other slot's."""
    other = {"A": "B", "B": "A"}
    return SLOT_COLOURS.get(slot) or SLOT_COLOURS[other[slot.partition(" ")[0]]]


def topk_figure(bars: Sequence[Bar], slot: str) -> go.Figure:
    """The figure of the bars; the label of the most probable class is bold.

    The y axis counts pixels from the top, so that long labels can have several lines.
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
                marker={"color": _colour(slot), "line_width": 0},
                customdata=[escape(bar.label, quote=False) for bar in bars],
                hovertemplate=f"%{{customdata}}<br>%{{x:.4f}}{THIN}%<extra></extra>",
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
            x=101.5,
            y=centre,
            text=probability_text(bar.probability),
            xanchor="left",
            showarrow=False,
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
