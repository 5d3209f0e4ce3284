"""The figures of one tensor beside the other."""

from __future__ import annotations

import math

import plotly.graph_objects as go
import torch

from core.compare.numbers.tensor_pairs import Filters, TensorPair, most_changed
from core.compare.report.figures import GRID, change_axis, change_words
from core.tensors import ImageKind, TensorImage
from core.theme import AMBER, GREY, ROSE_DEEP, SLOT_COLOURS, figure_layout
from core.wording import count

MOST = 10
"""Channels that are marked and named as those that changed most."""

MAX_BARS = 4096

WIDTH = 700
"""Pixels of the picture of filters, about."""

HEIGHT = 250


def histogram_figure(found: TensorPair) -> go.Figure | None:
    """A and B on the same edges, one over the other; None where there is no finite element."""
    figure = go.Figure()
    for name, counts in (("A", found.a), ("B", found.b)):
        if counts is None:
            return None
        figure.add_scatter(
            x=_stairs(counts.edges),
            y=[0, *(count for count in counts.counts for _ in range(2)), 0],
            name=name,
            mode="lines",
            line={"color": SLOT_COLOURS[name], "width": 1.5},
            fill="tozeroy",
            hovertemplate=f"{name}: %{{y:,}} elements near %{{x:.4g}}<extra></extra>",
        )
    return _dressed(figure, "value", "elements").update_layout(showlegend=True, **LEGEND)


LEGEND = {
    "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    "margin": {"l": 8, "r": 8, "t": 28, "b": 8},
}


def step_figure(found: TensorPair) -> go.Figure | None:
    """The histogram of B minus A; None where there is no finite element."""
    counts = found.difference
    if counts is None:
        return None
    pairs = list(zip(counts.edges, counts.edges[1:], strict=False))
    figure = go.Figure(
        go.Bar(
            x=[(low + high) / 2 for low, high in pairs],
            y=counts.counts,
            marker={"color": AMBER, "line": {"width": 0}},
            customdata=[f"{low:.4g} to {high:.4g}" for low, high in pairs],
            hovertemplate="%{customdata}<br>%{y:,} elements<extra></extra>",
        )
    )
    return _dressed(figure, "B − A", "elements").update_layout(bargap=0.05)


def map_figure(picture: TensorImage) -> go.Figure:
    """Means of B minus A: a map, or a line where the tensor is a vector."""
    values = picture.values
    if picture.kind is ImageKind.LINE:
        at = torch.arange(values.numel()) * picture.block[1]
        figure = go.Figure(
            go.Scatter(
                x=at.tolist(),
                y=values[0].tolist(),
                mode="lines",
                line={"color": AMBER, "width": 1.2},
                hovertemplate="[%{x}] %{y:.4g}<extra></extra>",
            )
        )
        return _dressed(figure, "index", "B − A")
    finite = values[values.isfinite()]
    bound = float(finite.abs().max()) if finite.numel() else 1.0
    figure = go.Figure(
        go.Heatmap(
            z=values.numpy(),
            x0=0,
            dx=picture.block[1],
            y0=0,
            dy=picture.block[0],
            colorscale="RdBu_r",
            zmin=-bound or -1.0,
            zmax=bound or 1.0,
            colorbar={"thickness": 10, "tickformat": ".2g"},
            hovertemplate="row %{y}, column %{x}<br>%{z:.4g}<extra></extra>",
        )
    )
    return _dressed(figure, "column", "row").update_layout(yaxis={"autorange": "reversed"})


def channel_figure(found: TensorPair) -> go.Figure | None:
    """A bar a slice along the first dimension, the MOST that changed most marked and named; of more
    than MAX_BARS, a bar is the most changed of several in a row. None without."""
    if not any(math.isfinite(change) for change in found.channels):
        return None
    channels = found.channels
    each = math.ceil(len(channels) / MAX_BARS)
    starts = range(0, len(channels), each)
    shown = [at + most_changed(channels[at : at + each])[0] for at in starts]
    order = [at for at in most_changed(channels) if channels[at] > 0][:MOST]
    most = set(order) if len(channels) > 2 * MOST else set()
    colours = [ROSE_DEEP if at in most else GREY for at in shown]
    changes = [_finite(channels[at]) for at in shown]
    figure = go.Figure(
        go.Bar(
            x=shown,
            y=changes,
            marker={"color": colours, "line": {"width": 0}},
            width=each if each > 1 else None,
            customdata=[_change_told(channels[at]) for at in shown],
            hovertemplate="channel %{x}<br>%{customdata}<extra></extra>",
        )
    )
    title = "output channel" if each == 1 else f"output channel (the most changed of each {each})"
    _dressed(figure, title, "relative change (L2)")
    figure.update_layout(
        yaxis=change_axis([change for change in changes if change]), bargap=0.0 if most else 0.2
    )
    if most:
        named = ", ".join(count(at) for at in order)
        figure.add_annotation(
            text=f"Most changed: {named}",
            font={"color": ROSE_DEEP, "size": 12},
            showarrow=False,
            **{"xref": "paper", "yref": "paper", "x": 0, "y": 1, "yanchor": "bottom"},
        ).update_layout(margin={"t": 28})
    return figure


def _change_told(change: float) -> str:
    if math.isnan(change):
        return "nothing finite to compare"
    return f"changed by {change_words(change)}"


def filters_image(found: Filters) -> tuple[torch.Tensor, str]:
    """uint8 [height, width, 3] with a row for A, one for B and one for B minus A, and what to say.

    A and B share their scale filter by filter; the difference has one for all, red for more.
    """
    both = torch.stack((found.a, found.b))
    known = both.isfinite()
    low = both.where(known, torch.inf).amin((0, 2, 3))[:, None, None]
    high = both.where(known, -torch.inf).amax((0, 2, 3))[:, None, None]
    grey = [
        ((one - low) / (high - low).clamp_min(1e-38))
        .nan_to_num(0.5)
        .clamp(0, 1)[..., None]
        .expand(-1, -1, -1, 3)
        for one in (found.a, found.b)
    ]
    bound = float(found.difference.nan_to_num(0.0).abs().max()) or 1.0
    step = (found.difference / bound).nan_to_num(0.0).clamp(-1, 1)[..., None]
    red, blue = torch.tensor([0.79, 0.23, 0.22]), torch.tensor([0.14, 0.34, 0.77])
    tone = torch.where(step > 0, red, blue)
    moved = 1 - step.abs() * (1 - tone)
    filters, height, width = found.a.shape
    canvas = torch.full((3 * (height + 1) - 1, filters * (width + 1) - 1, 3), 0.5)
    for line, drawn in enumerate((*grey, moved)):
        for index, one in enumerate(drawn):
            top, left = line * (height + 1), index * (width + 1)
            canvas[top : top + height, left : left + width] = one
    factor = max(1, WIDTH // canvas.shape[1])
    image = (canvas * 255).round().to(torch.uint8)
    image = image.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    which = ", ".join(map(str, found.indexes))
    told = f"Filters {which}" if filters < found.of else f"All {filters} filters ({which})"
    most = (
        f", the {filters} of {found.of} that changed most"
        if filters < found.of
        else ", those that changed most first"
    )
    return image, (
        f"{told}{most}, as means over their input channels. Top: A, middle: B, each filter on the "
        "same scale; bottom: B − A, red for more, blue for less."
    )


def _stairs(edges: tuple[float, ...]) -> list[float]:
    """Each edge twice: up or down to the next count."""
    return [edge for edge in edges for _ in range(2)]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _dressed(figure: go.Figure, x: str, y: str) -> go.Figure:
    return figure_layout(figure).update_layout(
        height=HEIGHT,
        xaxis={"title": x, "automargin": True, "gridcolor": GRID, "zeroline": False},
        yaxis={"title": y, "automargin": True, "gridcolor": GRID, "zeroline": False},
        dragmode=False,
    )
