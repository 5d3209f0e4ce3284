"""A comparison drawn: change by depth, blocks by parts, weight norm against change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go

from core.compare.comparison import Row
from core.compare.depth import Block, PartMap, TensorChange, kinds_of
from core.compare.tensor_numbers import Numbers
from core.keys import BATCH_COUNTER, ModuleKind
from core.theme import KIND_COLOURS, figure_layout
from core.wording import THIN, count, shape, small

WIDE = 100.0
"""Ratio of the largest to the smallest change beyond which an axis is logarithmic."""

POINTS = 2_000
"""The most points that are drawn: those of the tensors that changed most. As SVG, which is all that
the server's Content Security Policy allows, 20,000 take a browser seconds."""

MOST_LEVEL, SLANT = 10, 40
"""Names below an axis up to which they are level; more are slanted by SLANT degrees."""

PERCENT_TICKS: Mapping[str, str] = {"tickformat": "~g", "ticksuffix": f"{THIN}%"}
"""How an axis writes what `change_value` returns: as the texts do, `20 %` with a thin space."""

GRID = "rgba(125,132,140,.25)"
"""Visible on a light and on a dark background."""


def depth_figure(blocks: Sequence[Block]) -> go.Figure | None:
    """Bars in the model's order, for each block one per kind of module; None without a number.

    Each bar's customdata begins with the block's name.
    """
    values = [
        moved.relative
        for block in blocks
        for kind, moved in block.kinds.items()
        if moved.relative and kind is not ModuleKind.STATISTICS
    ]
    if not any(moved.measured for block in blocks for moved in block.kinds.values()):
        return None
    figure = go.Figure()
    names = axis_names([block.name for block in blocks])
    slanted = len(blocks) > MOST_LEVEL
    for kind in ModuleKind:
        shown = [(block, block.kinds[kind]) for block in blocks if kind in block.kinds]
        if not any(moved.differing for _, moved in shown):
            continue
        figure.add_bar(
            x=[names[block.name] for block, _ in shown],
            y=[change_value(moved.relative) for _, moved in shown],
            name=str(kind),
            marker={"color": KIND_COLOURS[kind], "line": {"width": 0}},
            visible="legendonly" if kind is ModuleKind.STATISTICS and values else True,
            customdata=[
                (block.name, escape(block.name), _hover_text(moved)) for block, moved in shown
            ],
            hovertemplate="<b>%{customdata[1]}</b>, "
            + f"{kind}<br>"
            + "%{customdata[2]}<extra></extra>",
        )
    figure_layout(figure).update_layout(
        height=300,
        barmode="group",
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"r": 8, "t": 30, **_room_for(list(names.values()), slanted=slanted)},
        xaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(names.values()),
            "automargin": False,
            "tickangle": -SLANT if slanted else 0,
        },
        yaxis=change_axis(values) | {"automargin": False},
        dragmode=False,
        clickmode="event+select",
    )
    return figure


def part_figure(shared: PartMap) -> go.Figure:
    """The map of blocks by parts. The colour is the relative change, or its logarithm where the
    range is wide.

    A cell's customdata begins with the block's name.
    """
    values = [change_value(value) for row in shared.values for value in row]
    wide = _is_wide([value for value in values if value])
    floor = _floor(values) if wide else None
    columns, lines = (
        list(axis_names(shared.blocks).values()),
        [escape(part) for part in shared.parts],
    )
    figure = go.Figure(
        go.Heatmap(
            x=columns,
            y=lines,
            z=[[_colour(change_value(value), floor) for value in row] for row in shared.values],
            hoverinfo="skip",
            hoverongaps=False,
            xgap=1,
            ygap=1,
            colorscale="Viridis",
            colorbar={
                "thickness": 10,
                "title": {"text": "change", "side": "right"},
                **(PERCENT_TICKS if floor is None else _log_ticks(values, floor)),
            },
        )
    )
    there = [
        (column, line)
        for line, row in enumerate(shared.values)
        for column, value in enumerate(row)
        if value is not None
    ]
    figure.add_scatter(  # plotly cannot select the cells of a heat map
        x=[columns[column] for column, _ in there],
        y=[lines[line] for _, line in there],
        mode="markers",
        marker={"opacity": 0, "size": 14, "symbol": "square"},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        customdata=[
            (
                shared.blocks[column],
                escape(shared.blocks[column]),
                relative_change_text(shared.values[line][column]),
            )
            for column, line in there
        ],
        hovertemplate="<b>%{customdata[1]}</b> %{y}<br>%{customdata[2]}<extra></extra>",
    )
    figure_layout(figure).update_layout(
        height=max(220, min(620, 60 + 24 * len(shared.parts))),
        xaxis={
            "type": "category",
            "automargin": True,
            "showgrid": False,
            "tickangle": -SLANT if len(shared.blocks) > MOST_LEVEL else 0,
        },
        yaxis={
            "type": "category",
            "automargin": True,
            "showgrid": False,
            "autorange": "reversed",
        },
        hovermode="closest",
        hoverdistance=-1,
        dragmode=False,
        clickmode="event+select",
    )
    return figure


def scatter_figure(rows: Sequence[Row], numbers: Mapping[str, Numbers]) -> go.Figure | None:
    """A point per measured tensor: A's norm against the relative change, both logarithmic.

    Each point's customdata begins with the row's key. Of more than POINTS, those that changed most
    are drawn, and the axis says so. None where there is no point to draw.
    """
    kinds = kinds_of(rows)
    drawn = [
        (row, measured_row)
        for row in rows
        if (measured_row := numbers.get(row.key)) is not None
        and measured_row.norm_a > 0
        and 0 < measured_row.relative_l2 < math.inf
        and not row.key.endswith(BATCH_COUNTER)
    ]
    if not drawn:
        return None
    measured = len(drawn)
    drawn = sorted(drawn, key=lambda pair: -pair[1].relative_l2)[:POINTS]
    named = "norm in A"
    if measured > POINTS:
        named += f"<br>the {count(POINTS)} most changed of {count(measured)}"
    figure = go.Figure()
    for kind in ModuleKind:
        own = [(row, measured_row) for row, measured_row in drawn if kinds[row.key] is kind]
        if not own:
            continue
        figure.add_trace(
            # Not Scattergl: it compiles code from strings, which the server's policy forbids.
            go.Scatter(
                x=[measured_row.norm_a for _, measured_row in own],
                y=[change_value(measured_row.relative_l2) for _, measured_row in own],
                mode="markers",
                name=str(kind),
                marker={"color": KIND_COLOURS[kind], "size": 8, "opacity": 0.8},
                customdata=[
                    (
                        row.key,
                        escape(row.key),
                        shape(row.a.shape) if row.a else "",
                        relative_change_text(measured_row.relative_l2),
                    )
                    for row, measured_row in own
                ],
                hovertemplate="<b>%{customdata[1]}</b><br>%{customdata[2]}<br>norm %{x:.3g}, "
                "changed by %{customdata[3]}<extra></extra>",
            )
        )
    axis = {"type": "log", "automargin": True, "gridcolor": GRID, "zeroline": False}
    norms = [measured_row.norm_a for _, measured_row in drawn]
    changes = [measured_row.relative_l2 for _, measured_row in drawn]
    figure_layout(figure).update_layout(
        height=380,
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 8, "r": 8, "t": 30, "b": 8},
        xaxis={**axis, "title": named, "tickformat": "~g", "dtick": _log_step(norms)},
        yaxis={
            **axis,
            "title": "relative change (L2)",
            **PERCENT_TICKS,
            "dtick": _log_step(changes),
        },
        dragmode=False,
        clickmode="event+select",
    )
    return figure


def axis_name(name: str) -> str:
    """A name for an axis: shortened and escaped, because it comes from a file."""
    return escape(_shortened(name))


def axis_names(names: Sequence[str]) -> dict[str, str]:
    """Block's name → its name for an axis of plotly, without the modules that all blocks are in."""
    return {name: escape(short) for name, short in short_names(names).items()}


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Block's name → a short name, without the modules that all blocks are in."""
    paths = [name.split(".") for name in names]
    shared = 0
    while len(paths) > 1 and all(len(path) > shared + 1 for path in paths):
        if len({path[shared] for path in paths}) > 1:
            break
        shared += 1
    short = [_shortened(".".join(path[shared:])) for path in paths]
    return dict(zip(names, short, strict=True))


def _shortened(name: str) -> str:
    return name if len(name) <= 32 else f"…{name[-31:]}"


def _room_for(labels: Sequence[str], *, slanted: bool) -> dict[str, float]:
    """The margins, in pixels, for the numbers left of a chart and for the names below it.

    With `automargin`, plotly would measure them, but it would draw the chart twice: a page of a
    hundred blocks would take a fifth longer.
    """
    letter, line, numbers = 6.5, 18.0, 76.0
    if not slanted:
        return {"l": numbers, "b": 2 * line}
    slant = math.radians(SLANT)
    longest = letter * max(map(len, labels))
    return {
        "l": max(numbers, letter * len(labels[0]) * math.cos(slant)),
        "b": longest * math.sin(slant) + 1.5 * line,
    }


def _hover_text(moved: TensorChange) -> str:
    amount = f"{count(moved.differing)} of {count(moved.tensors)} tensors differ"
    if not moved.differing:
        return f"all {count(moved.tensors)} tensors are the same"
    unmeasured = ", ".join(f"{count(many)} {state}" for state, many in moved.unmeasured.items())
    amount += f"<br>not measured: {unmeasured}" if unmeasured else ""
    if moved.relative is None:
        return amount
    change = relative_change_text(moved.relative)
    return f"changed by {change} over the {count(moved.measured)} measured<br>{amount}"


def relative_change_text(value: float | None) -> str:
    """A relative change in percent with three digits, for a hover text or a logarithmic axis.

    Not `wording.percent`: below 0.1 %, where most of an axis may lie, it has no digits.
    """
    if value is None:
        return "not measured"
    return "from zero" if math.isinf(value) else f"{small(100 * value, 3)}{THIN}%"


def change_value(change: float | None) -> float | None:
    """A relative change as the axes draw it, in percent; None where it is unknown or infinite."""
    return 100 * change if change is not None and math.isfinite(change) else None


def _log_step(values: Sequence[float]) -> float | str:
    """The `dtick` of a logarithmic axis for plotly: every power of ten, every few of them where
    there are many, or 1, 2 and 5 of each where there are few."""
    decades = math.log10(max(values)) - math.log10(min(values))
    return "D2" if decades < 2 else max(1, math.ceil(decades / 8))


def _is_wide(values: Sequence[float]) -> bool:
    finite = [value for value in values if value and math.isfinite(value)]
    return bool(finite) and max(finite) > WIDE * min(finite)


def change_axis(values: Sequence[float]) -> dict[str, object]:
    """The axis for relative changes in percent: logarithmic where their range is wide, else from
    zero."""
    axis: dict[str, object] = {
        "title": "relative change (L2)",
        "automargin": True,
        "gridcolor": GRID,
        "zeroline": False,
        **PERCENT_TICKS,
    }
    if _is_wide(values):
        return axis | {"type": "log", "dtick": 1}
    return axis | {"rangemode": "tozero"}


def _floor(values: Sequence[float | None]) -> int:
    """The power of ten that stands for no change: one below the smallest change."""
    return math.floor(min(math.log10(value) for value in values if value)) - 1


def _colour(value: float | None, floor: int | None) -> float | None:
    if value is None or floor is None:
        return value
    return math.log10(value) if value > 0 else float(floor)


def _log_ticks(values: Sequence[float | None], floor: int) -> dict[str, object]:
    top = math.ceil(max(math.log10(value) for value in values if value))
    ticks = list(range(floor, top + 1))
    return {
        "tickvals": ticks,
        "ticktext": ["same", *(relative_change_text(10.0 ** (tick - 2)) for tick in ticks[1:])],
    }
