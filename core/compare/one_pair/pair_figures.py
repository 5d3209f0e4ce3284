"""The figures of a pair of tensors."""

from __future__ import annotations

import math

import plotly.graph_objects as go
import torch

from core.compare.one_pair.tensor_pairs import Filters, TensorPair, most_changed
from core.compare.report.figures import GRID, change_axis, change_value, relative_change_text
from core.tensors import ImageKind, TensorImage
from core.theme import AMBER, GREY, ROSE_DEEP, SLOT_COLOURS, figure_layout
from core.wording import count

NAMED_CHANNELS = 10
"""Channels that are marked and named as the most changed ones."""

MAX_BARS = 4096
"""The most bars in the figure of channels; with more channels, a bar stands for several."""

WIDTH = 700
"""Approximate width of the image of filters, in pixels."""

HEIGHT, HISTOGRAM_HEIGHT = 250, 180
"""Heights of a figure, and of the one of A over B, in pixels."""


def histogram_figure(pair: TensorPair) -> go.Figure | None:
    """The histograms of A and B in one figure; None where there is no finite element."""
    figure = go.Figure()
    for name, counts in (("A", pair.a), ("B", pair.b)):
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
    figure.update_layout(hovermode="x", yaxis={"rangemode": "tozero"})
    return _with_axes(figure, "value", "elements").update_layout(height=HISTOGRAM_HEIGHT)


def step_figure(pair: TensorPair) -> go.Figure | None:
    """The histogram of B minus A; None where there is no finite element."""
    counts = pair.difference
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
    return _with_axes(figure, "B − A", "elements").update_layout(bargap=0.05)


def map_figure(image: TensorImage) -> go.Figure:
    """The means of B minus A: a heat map, or a line where the tensor is a vector."""
    values = image.values
    if image.kind is ImageKind.LINE:
        at = torch.arange(values.numel()) * image.block[1]
        figure = go.Figure(
            go.Scatter(
                x=at.tolist(),
                y=values[0].tolist(),
                mode="lines",
                line={"color": AMBER, "width": 1.2},
                hovertemplate="[%{x}] %{y:.4g}<extra></extra>",
            )
        )
        return _with_axes(figure, "index", "B − A")
    finite = values[values.isfinite()]
    bound = float(finite.abs().max()) if finite.numel() else 1.0
    figure = go.Figure(
        go.Heatmap(
            z=values.numpy(),
            x0=0,
            dx=image.block[1],
            y0=0,
            dy=image.block[0],
            colorscale="RdBu_r",
            zmin=-bound or -1.0,
            zmax=bound or 1.0,
            colorbar={"thickness": 10, "tickformat": ".2g"},
            hovertemplate="row %{y}, column %{x}<br>%{z:.4g}<extra></extra>",
        )
    )
    return _with_axes(figure, "column", "row").update_layout(yaxis={"autorange": "reversed"})


def channel_figure(pair: TensorPair) -> go.Figure | None:
    """A bar per slice along the first dimension; the most changed NAMED_CHANNELS are marked.

    With more than MAX_BARS slices, each bar is the most changed one of several adjacent slices.
    None where no slice has a finite change.
    """
    if not any(math.isfinite(change) for change in pair.channels):
        return None
    channels = pair.channels
    per_bar = math.ceil(len(channels) / MAX_BARS)
    starts = range(0, len(channels), per_bar)
    shown = [at + most_changed(channels[at : at + per_bar])[0] for at in starts]
    order = [at for at in most_changed(channels) if channels[at] > 0][:NAMED_CHANNELS]
    most = set(order) if len(channels) > 2 * NAMED_CHANNELS else set()
    colours = [ROSE_DEEP if at in most else GREY for at in shown]
    changes = [change_value(channels[at]) for at in shown]
    figure = go.Figure(
        go.Bar(
            x=shown,
            y=changes,
            marker={"color": colours, "line": {"width": 0}},
            width=per_bar if per_bar > 1 else None,
            customdata=[_change_text(channels[at]) for at in shown],
            hovertemplate="channel %{x}<br>%{customdata}<extra></extra>",
        )
    )
    title = (
        "output channel" if per_bar == 1 else f"output channel (the most changed of each {per_bar})"
    )
    _with_axes(figure, title, "relative change (L2)")
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


def _change_text(change: float) -> str:
    if math.isnan(change):
        return "nothing finite to compare"
    return f"changed by {relative_change_text(change)}"


def filters_image(filters: Filters) -> tuple[torch.Tensor, str]:
    """An image, uint8 [height, width, 3], and its caption.

    It has a row of filters for A, one for B and one for B minus A. Each filter has the same grey
    scale in A and B; the differences share one colour scale, red for more and blue for less.
    """
    both = torch.stack((filters.a, filters.b))
    known = both.isfinite()
    low = both.where(known, torch.inf).amin((0, 2, 3))[:, None, None]
    high = both.where(known, -torch.inf).amax((0, 2, 3))[:, None, None]
    grey = [
        ((values - low) / (high - low).clamp_min(1e-38))
        .nan_to_num(0.5)
        .clamp(0, 1)[..., None]
        .expand(-1, -1, -1, 3)
        for values in (filters.a, filters.b)
    ]
    bound = float(filters.difference.nan_to_num(0.0).abs().max()) or 1.0
    step = (filters.difference / bound).nan_to_num(0.0).clamp(-1, 1)[..., None]
    red, blue = torch.tensor([0.79, 0.23, 0.22]), torch.tensor([0.14, 0.34, 0.77])
    tone = torch.where(step > 0, red, blue)
    moved = 1 - step.abs() * (1 - tone)
    number, height, width = filters.a.shape
    canvas = torch.full((3 * (height + 1) - 1, number * (width + 1) - 1, 3), 0.5)
    for line, drawn in enumerate((*grey, moved)):
        for index, values in enumerate(drawn):
            top, left = line * (height + 1), index * (width + 1)
            canvas[top : top + height, left : left + width] = values
    factor = max(1, WIDTH // canvas.shape[1])
    image = (canvas * 255).round().to(torch.uint8)
    image = image.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    which = ", ".join(map(str, filters.indexes))
    subject = f"Filters {which}" if number < filters.of else f"All {number} filters ({which})"
    most = (
        f", the {number} of {filters.of} that changed most"
        if number < filters.of
        else ", those that changed most first"
    )
    return image, (
        f"{subject}{most}, as means over their input channels. Top: A, middle: B, each filter "
        "on the same scale; bottom: B − A, red for more, blue for less."
    )


def _stairs(edges: tuple[float, ...]) -> list[float]:
    """Each edge twice, for the step from one count to the next."""
    return [edge for edge in edges for _ in range(2)]


def _with_axes(figure: go.Figure, x: str, y: str) -> go.Figure:
    return figure_layout(figure).update_layout(
        height=HEIGHT,
        xaxis={"title": x, "automargin": True, "gridcolor": GRID, "zeroline": False},
        yaxis={"title": y, "automargin": True, "gridcolor": GRID, "zeroline": False},
        dragmode=False,
    )
