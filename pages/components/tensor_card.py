"""One tensor: its statistics, its histogram, its picture, and where its bytes lie."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st
import torch

from core.checkpoint import TensorEntry
from core.errors import LoupeError
from core.jobs import Cancelled, Job, Progress
from core.picture import Picture, PictureKind, picture
from core.statistics import Histogram, Statistics, histogram, statistics
from core.storage_note import storage_note
from pages.components.job_panel import job_panel
from pages.components.resources import jobs
from pages.components.theme import ACCENT, count, figure_layout, shape, size

STRAIGHT = 32 << 20
"""Bytes up to which a tensor is measured at once; a larger one is a job with a progress bar."""

IMAGE_WIDTH = 380

STYLE = """<style>
.tensor-numbers{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:.6rem 1rem}
.tensor-numbers div{border-top:1px solid color-mix(in srgb,currentColor 18%,transparent);
  padding-top:.25rem;display:flex;flex-direction:column}
.tensor-numbers span{font-size:.8rem;opacity:.7}
.tensor-numbers b{font-size:.95rem;font-weight:600;font-variant-numeric:tabular-nums;
  overflow-wrap:anywhere}
@media(max-width:640px){.tensor-numbers{grid-template-columns:repeat(2,minmax(0,1fr))}}
</style>"""


@dataclass(frozen=True, slots=True)
class Measured:
    """All that is read from a tensor's bytes."""

    statistics: Statistics
    histogram: Histogram | None
    picture: Picture | None


def tensor_card(entry: TensorEntry, identity: str) -> None:
    """Draw the card; `identity` tells one state_dict of one file from all others."""
    st.markdown(f"#### {_code(entry.key)}")
    st.caption(
        f"{shape(entry.shape)} · {entry.dtype} · {count(entry.numel)} parameters · "
        f"{size(entry.nbytes)}"
    )
    note = storage_note(entry)
    if note:
        st.warning(note, icon=":material/database:")
    try:
        measured = _measured_or_job(entry, identity)
    except LoupeError as error:
        st.error(str(error), icon=":material/error:")
        measured = None
    if measured is not None:
        _statistics_table(measured.statistics)
        if measured.histogram is not None:
            _histogram(measured.histogram, measured.statistics)
        if measured.picture is not None:
            _picture(measured.picture)
    _storage(entry)


def measure(entry: TensorEntry, progress: Progress | None = None) -> Measured:
    """Read the tensor: once for its statistics, once for its histogram, once for its picture."""
    found = statistics(entry, progress)
    counted = histogram(entry, measured=found, progress=progress)
    return Measured(found, counted, picture(entry, progress))


@st.cache_resource(max_entries=128, show_spinner=False)
def _measured(identity: str, key: str, _entry: TensorEntry) -> Measured:
    return measure(_entry)


@st.cache_resource(max_entries=128, show_spinner=False)
def _measured_before(identity: str, key: str) -> list[Measured]:
    """Where a job's result is kept for all sessions; empty until it is there."""
    return []


def _measured_or_job(entry: TensorEntry, identity: str) -> Measured | None:
    if entry.record is None:
        st.info("This tensor has a shape but no data: it was saved from the meta device.")
        return None
    if entry.nbytes <= STRAIGHT:
        return _measured(identity, entry.key, entry)
    before = _measured_before(identity, entry.key)
    if before:
        return before[0]
    key = f"measure-{identity}-{entry.key}"
    job: Job[Measured] | None = st.session_state.get(key)
    if job is None:
        st.caption("Statistics, histogram and picture need the bytes of this large tensor.")
        if st.button(f"Read {size(entry.nbytes)}", key=f"{key}-start", type="primary"):
            st.session_state[key] = jobs().start(lambda progress: measure(entry, progress))
            st.rerun()
        return None
    try:
        found = job_panel(key, job)
    except Cancelled:
        del st.session_state[key]
        st.rerun()
    except LoupeError:
        del st.session_state[key]
        raise
    if found is not None:
        del st.session_state[key]
        before.append(found)
    return found


def _statistics_table(found: Statistics) -> None:
    cells = {
        "min": _number(found.min),
        "max": _number(found.max),
        "mean": _number(found.mean),
        "std": _number(found.std),
        "zeros": _share(found.zeros, found.count),
        "NaN": _share(found.nan, found.count),
        "Inf": _share(found.inf, found.count),
        "elements": count(found.count),
    }
    st.html(
        STYLE
        + '<div class="tensor-numbers">'
        + "".join(f"<div><span>{name}</span><b>{text}</b></div>" for name, text in cells.items())
        + "</div>"
    )
    if found.of == "magnitude":
        st.caption("Complex numbers, measured by their magnitude.")
    if found.nan or found.inf:
        st.warning(
            f"{count(found.nan)} NaN and {count(found.inf)} infinite elements are left out of "
            "min, max, mean and std.",
            icon=":material/error:",
        )


def _histogram(found: Histogram, of: Statistics) -> None:
    centres = [(low + high) / 2 for low, high in zip(found.edges, found.edges[1:], strict=False)]
    ranges = [
        f"{low:.4g} to {high:.4g}" for low, high in zip(found.edges, found.edges[1:], strict=False)
    ]
    figure = go.Figure(
        go.Bar(
            x=centres,
            y=found.counts,
            marker={"color": ACCENT, "line": {"width": 0}},
            customdata=ranges,
            hovertemplate="%{customdata}<br>%{y:,} elements<extra></extra>",
        )
    )
    figure_layout(figure)
    figure.update_layout(
        height=200,
        bargap=0.05,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        xaxis={"title": of.of, "automargin": True},
        yaxis={"title": "elements", "automargin": True},
    )
    st.plotly_chart(figure, config={"displayModeBar": False}, alt="Histogram of the elements")


def _picture(found: Picture) -> None:
    if found.kind is PictureKind.FILTERS:
        factor = max(1, IMAGE_WIDTH // found.values.shape[1])
        values = found.values.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
        st.image(values.numpy(), caption=found.caption, width="content")
        return
    figure = figure_layout(_line(found) if found.kind is PictureKind.LINE else _heat_map(found))
    figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})
    st.plotly_chart(figure, config={"displayModeBar": False}, alt=found.caption)
    st.caption(found.caption)


def _line(found: Picture) -> go.Figure:
    values = found.values[0]
    at = torch.arange(values.numel()) * found.block[1]
    figure = go.Figure(
        go.Scatter(
            x=at.tolist(),
            y=values.tolist(),
            mode="lines",
            line={"color": ACCENT, "width": 1.2},
            hovertemplate="[%{x}] %{y:.4g}<extra></extra>",
        )
    )
    return figure.update_layout(height=180, xaxis={"title": "index"}, yaxis={"title": "value"})


def _heat_map(found: Picture) -> go.Figure:
    values = found.values
    finite = values[values.isfinite()]
    bound = float(finite.abs().max()) if finite.numel() else 1.0
    rows, columns = found.block
    figure = go.Figure(
        go.Heatmap(
            z=values.numpy(),
            x0=0,
            dx=columns,
            y0=0,
            dy=rows,
            colorscale="RdBu_r",
            zmin=-bound,
            zmax=bound,
            colorbar={"thickness": 10, "tickformat": ".2g"},
            hovertemplate="row %{y}, column %{x}<br>%{z:.4g}<extra></extra>",
        )
    )
    return figure.update_layout(height=320, yaxis={"autorange": "reversed"})


def _storage(entry: TensorEntry) -> None:
    facts = {
        "key in the file": entry.origin if entry.origin not in {"", entry.key} else "",
        "record": entry.record.name if entry.record else "none",
        "record holds": size(entry.record.nbytes) if entry.record else "",
        "storage offset": f"{count(entry.storage_offset)} elements",
        "stride": ", ".join(str(step) for step in entry.stride) or "none",
        "requires_grad": "yes" if entry.requires_grad else "no",
        "saved on": entry.location,
        "CRC-32": f"{entry.record.crc32:08x}" if entry.record and entry.record.crc32 else "",
    }
    with st.expander("Where its bytes lie"):
        st.table(
            {name: _code(value) for name, value in facts.items() if value}, border="horizontal"
        )


def _code(text: str) -> str:
    """Text from the file, as code: whatever is in it stays text."""
    return f"`{text.replace('`', chr(39))}`"


def _number(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else count(value)


def _share(part: int, whole: int) -> str:
    if not part:
        return "0"
    return f"{count(part)} ({part / whole:.1%})" if part / whole >= 0.001 else count(part)
