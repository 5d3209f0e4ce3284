"""A run drawn: how far each step moved the weights, where NaN appeared, a small line per tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import plotly.graph_objects as go

from core.compare.report.figures import (
    GRID,
    axis_name,
    change_axis,
    change_value,
    relative_change_text,
)
from core.compare.run.training_run import Run, RunRow
from core.theme import ACCENT, AMBER, RED, figure_layout
from core.wording import count


@dataclass(frozen=True, slots=True)
class SmallLines:
    """A tensor's norms and changes, for small lines in a table's cells.

    Unknown values and those that are not finite are left out, because such a line has no gaps.
    """

    key: str
    norms: tuple[float, ...]
    changes: tuple[float, ...]


def small_lines(run: Run) -> tuple[SmallLines, ...]:
    """For each tensor of the run: its norm per checkpoint, and its change per step."""
    return tuple(SmallLines(row.key, _known(row.norms), _known(row.changes)) for row in run.rows)


def run_figure(run: Run) -> go.Figure | None:
    """A bar per step, above the checkpoint that it leads to; None where there is nothing to draw.

    Checkpoints with NaN or infinities get a cross and the word. The customdata of each bar and
    cross begins with the checkpoint's index.
    """
    moves = [step.relative_l2 for step in run.steps]
    not_finite = [(at, rows) for at in range(len(run.names)) if (rows := _not_finite_rows(run, at))]
    if not not_finite and all(move is None for move in moves):
        return None
    ticks = list(range(len(run.names)))
    figure = go.Figure()
    figure.add_bar(
        x=ticks[1:],
        y=[change_value(move) for move in moves],
        name="change per step",
        width=0.5,
        marker={"color": ACCENT, "line": {"width": 0}},
        customdata=[
            (at + 1, escape(run.names[at]), escape(run.names[at + 1]), relative_change_text(move))
            for at, move in enumerate(moves)
        ],
        hovertemplate="<b>%{customdata[1]} → %{customdata[2]}</b><br>weights changed by "
        "%{customdata[3]}<extra></extra>",
    )
    figure.add_scatter(
        x=[at for at, _ in not_finite],
        y=[0.06] * len(not_finite),
        yaxis="y2",
        mode="markers+text",
        name="NaN or infinity",
        text=[_word(rows, at) for at, rows in not_finite],
        textposition="top center",
        marker={"color": RED, "symbol": "x", "size": 10},
        customdata=[
            (at, escape(run.names[at]), _hover_text(run, rows, at)) for at, rows in not_finite
        ],
        hovertemplate="<b>%{customdata[1]}</b><br>%{customdata[2]}<extra></extra>",
    )
    figure_layout(figure).update_layout(
        height=260,
        xaxis={
            "tickvals": ticks,
            "ticktext": [axis_name(name) for name in run.names],
            "range": [-0.5, len(ticks) - 0.5],
            "automargin": True,
            "tickangle": -40 if len(ticks) > 5 else 0,
            "showgrid": False,
            "zeroline": False,
        },
        yaxis=change_axis([move for move in moves if move is not None]),
        yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
        dragmode=False,
        clickmode="event+select",
    )
    return figure


def row_figure(run: Run, row: RunRow) -> go.Figure:
    """One tensor: its norm in each checkpoint as a line, its change from the one before as bars."""
    names = [axis_name(name) for name in run.names]
    figure = go.Figure()
    figure.add_bar(
        x=list(range(1, len(names))),
        y=[change_value(change) for change in row.changes],
        name="change to it",
        yaxis="y2",
        marker={"color": AMBER, "opacity": 0.55, "line": {"width": 0}},
        customdata=[relative_change_text(change) for change in row.changes],
        hovertemplate="changed by %{customdata}<extra></extra>",
    )
    figure.add_scatter(
        x=list(range(len(names))),
        y=list(row.norms),
        name="norm",
        mode="lines+markers",
        line={"color": ACCENT, "width": 2},
        hovertemplate="norm %{y:.5g}<extra></extra>",
    )
    return figure_layout(figure).update_layout(
        height=260,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 8, "r": 8, "t": 30, "b": 8},
        xaxis={
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={"title": "norm", "automargin": True, "gridcolor": GRID, "zeroline": False},
        yaxis2={
            **change_axis([]),
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
        },
        dragmode=False,
    )


def _known(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(value for value in values if value is not None and math.isfinite(value))


def _not_finite_rows(run: Run, at: int) -> list[RunRow]:
    """The tensors that contain NaN in a checkpoint, or infinities that are not those of a mask."""
    return [row for row in run.rows if (row.nans[at] or row.infs[at]) and not row.lasting]


def _word(rows: Sequence[RunRow], at: int) -> str:
    return "NaN" if any(row.nans[at] for row in rows) else "infinity"


def _hover_text(run: Run, rows: Sequence[RunRow], at: int) -> str:
    there = sum(row.shapes[at] is not None for row in run.rows)
    return (
        f"{_word(rows, at)} in {count(len(rows))} of {count(there)} tensors; the first in the "
        f"model is<br>{escape(rows[0].key)}"
    )
