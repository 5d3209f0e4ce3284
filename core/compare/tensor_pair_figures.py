"""The figures of one tensor beside the other."""

from __future__ import annotations

import math

import plotly.graph_objects as go
import torch

from core.compare.figures import GRID, change_axis, change_words
from core.compare.tensor_pair import Filters, TensorPair
from core.picture import Picture, PictureKind
from core.theme import AMBER, GREY, ROSE_DEEP, SLOT_COLOURS, figure_layout

MOST = 10
"""Channels that are marked as those that changed most."""

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


def map_figure(picture: Picture) -> go.Figure:
    """Means of B minus A: a map, or a line where the tensor is a vector."""
    values = picture.values
    if picture.kind is PictureKind.LINE:
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
    """A bar a slice along the first dimension, the MOST that changed most marked; None without."""
    changes = [_finite(change) for change in found.channels]
    if not changes:
        return None
    order = sorted(range(len(changes)), key=lambda index: -(changes[index] or 0))
    most = {index for index in order[:MOST] if changes[index]}
    few = len(changes) > 2 * MOST
    colours = [ROSE_DEEP if few and at in most else GREY for at in range(len(changes))]
    figure = go.Figure(
        go.Bar(
            x=list(range(len(changes))),
            y=changes,
            marker={"color": colours, "line": {"width": 0}},
            customdata=[change_words(change) for change in found.channels],
            hovertemplate="channel %{x}<br>changed by %{customdata}<extra></extra>",
        )
    )
    _dressed(figure, "output channel", "relative change (L2)")
    return figure.update_layout(
        yaxis=change_axis([change for change in changes if change]), bargap=0.0 if few else 0.2
    )


def filters_image(found: Filters) -> tuple[torch.Tensor, str]:
    """uint8 [height, width, 3] with a row for A, one for B and one for B minus A, and what to say.

    A and B share their scale filter by filter; the difference has one for all, red for more.
    """
    low = torch.minimum(found.a.amin((1, 2)), found.b.amin((1, 2)))[:, None, None]
    high = torch.maximum(found.a.amax((1, 2)), found.b.amax((1, 2)))[:, None, None]
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
    count, height, width = found.a.shape
    canvas = torch.full((3 * (height + 1) - 1, count * (width + 1) - 1, 3), 0.5)
    for line, filters in enumerate((*grey, moved)):
        for index, one in enumerate(filters):
            top, left = line * (height + 1), index * (width + 1)
            canvas[top : top + height, left : left + width] = one
    factor = max(1, WIDTH // canvas.shape[1])
    image = (canvas * 255).round().to(torch.uint8)
    image = image.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    which = ", ".join(map(str, found.indexes))
    told = f"Filters {which}" if count < found.of else f"All {count} filters"
    most = f", the {count} of {found.of} that changed most" if count < found.of else ""
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
        xaxis={"title": x, "automargin": True, "zeroline": False},
        yaxis={"title": y, "automargin": True, "gridcolor": GRID, "zeroline": False},
        dragmode=False,
    )
