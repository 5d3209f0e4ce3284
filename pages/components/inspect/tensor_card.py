"""One tensor: its statistics, its histogram, its picture, and where its bytes lie."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st
import torch

from core.checkpoint import (
    NUMBERLESS,
    STRIDED,
    Derived,
    Nested,
    Pieces,
    Quantized,
    Record,
    Sparse,
    TensorEntry,
    layout,
    numbers_note,
    parts_bytes,
)
from core.errors import LoupeError
from core.inspect import storage_note, stored_bytes
from core.plain_text import code, markup, plain, plain_sentence
from core.progress import Progress
from core.tensors import Histogram, Picture, PictureKind, Statistics, histogram, picture, statistics
from core.theme import ACCENT, figure_layout
from core.wording import count, shape, size
from pages.components.cached import cached
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob

STRAIGHT = 32 << 20
"""Bytes up to which a tensor is measured at once; a larger one is a job with a progress bar."""

IMAGE_WIDTH = 380

MANY = 4
"""Records that are named; of more, how many there are."""

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
    st.markdown(f"#### {code(entry.key)}")
    told = [shape(entry.shape), entry.dtype, f"{count(entry.numel)} parameters", size(entry.nbytes)]
    if layout(entry) != STRIDED:
        told.insert(2, layout(entry))
    st.caption(plain(" · ".join(told)))
    note = storage_note(entry)
    if note:
        st.warning(plain_sentence(note), icon=":material/database:")
    meant = numbers_note(entry)
    if meant:
        st.caption(f":material/info: {plain_sentence(meant)}")
    try:
        measured = _measured_or_job(entry, identity)
    except LoupeError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
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


@cached(128)
def _measured(identity: str, key: str, _entry: TensorEntry) -> Measured:
    return measure(_entry)


def _measured_or_job(entry: TensorEntry, identity: str) -> Measured | None:
    if not entry.records:
        st.info("This tensor has a shape but no data: it was saved from the meta device.")
        return None
    if entry.dtype in NUMBERLESS:
        st.info(f"PyTorch cannot turn {plain(entry.dtype)} elements into numbers to be measured.")
        return None
    if entry.nbytes <= STRAIGHT:
        return _measured(identity, entry.key, entry)
    job: SharedJob[Measured] = SharedJob("measure", f"{identity}|{entry.key}", max_results=128)
    if not job.under_way:
        found = job.result
        if found is not None:
            return found
        job.draw_failure()
        st.caption("Statistics, histogram and picture need the bytes of this large tensor.")
        if not pressed(f"Read {size(entry.nbytes)}", key=f"{job.slot}-start", type="primary"):
            return None
        job.start(lambda progress: measure(entry, progress))
        st.rerun()
    return job.watch()


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
        + "".join(
            f"<div><span>{markup(name)}</span><b>{markup(text)}</b></div>"
            for name, text in cells.items()
        )
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
        st.image(values.numpy(), caption=plain(found.caption), width="content")
        return
    figure = figure_layout(_line(found) if found.kind is PictureKind.LINE else _heat_map(found))
    figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})
    st.plotly_chart(figure, config={"displayModeBar": False}, alt=found.caption)
    st.caption(plain(found.caption))


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
    records = entry.records
    first = records[0] if records else None
    is_strided = entry.form is None
    facts = {
        "key in the file": entry.origin if entry.origin not in {"", entry.key} else "",
        **_form(entry),
        "record": _record_names(records),
        "shows": size(parts_bytes(entry)) if stored_bytes(entry) != parts_bytes(entry) else "",
        "record holds" if len(records) < 2 else "records hold": size(stored_bytes(entry)),
        "storage offset": f"{count(entry.storage_offset)} elements" if is_strided else "",
        "stride": (", ".join(str(step) for step in entry.stride) or "none") if is_strided else "",
        "byte order": "big-endian, turned round" if first and first.big_endian else "",
        "requires_grad": "yes" if entry.requires_grad else "no",
        "saved on": entry.location,
        "CRC-32": f"{first.crc32:08x}" if first and len(records) == 1 and first.crc32 else "",
    }
    with st.expander("Where its bytes lie"):
        st.table(
            {plain(name): code(value) for name, value in facts.items() if value},
            border="horizontal",
        )


def _record_names(records: tuple[Record, ...]) -> str:
    names = list(dict.fromkeys(record.name for record in records))
    more = f" and {count(len(names) - MANY)} more" if len(names) > MANY else ""
    return (", ".join(names[:MANY]) or "none") + more


def _form(entry: TensorEntry) -> dict[str, str]:
    """What a tensor is beside strided elements: its scales, its indices, its rows, its pieces."""
    match entry.form:
        case Quantized(scheme, scale, zero_point, axis):
            facts = {"quantized": scheme}
            for name, part in (("scale", scale), ("zero point", zero_point)):
                if isinstance(part, TensorEntry):
                    facts[f"{name}s"] = f"{count(part.numel)}, {part.dtype}"
                else:
                    facts[name] = f"{part:.6g}"
            return facts | ({"scales along axis": str(axis)} if axis is not None else {})
        case Sparse(name, held, is_coalesced):
            known = {True: "yes", False: "no", None: ""}
            return {
                "layout": name,
                **{
                    part.key.rpartition(".")[2]: f"{shape(part.shape)}, {part.dtype}"
                    for part in held
                },
                "coalesced": known[is_coalesced],
            }
        case Nested(sizes):
            return {"layout": "nested", "rows": count(sizes.shape[0] if sizes.shape else 0)}
        case Pieces(pieces):
            files = len({id(record.source) for record in entry.records})
            where = f"{count(files)} files" if files > 1 else "1 file"
            return {"pieces": f"{count(len(pieces))} in {where}"}
        case Derived(_, parts):
            names = ", ".join(part.origin or part.key for part in parts[:MANY])
            return {"computed from": names or "nothing: one number everywhere"}
        case None:
            return {}


def _number(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else count(value)


def _share(part: int, whole: int) -> str:
    if not part:
        return "0"
    return f"{count(part)} ({part / whole:.1%})" if part / whole >= 0.001 else count(part)
