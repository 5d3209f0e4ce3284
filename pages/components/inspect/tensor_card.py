"""One tensor: its statistics, its histogram, its image, and where its bytes are stored."""

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
from core.progress import Report, ignore
from core.tensors import (
    Histogram,
    ImageKind,
    Statistics,
    TensorImage,
    histogram,
    statistics,
    tensor_image,
)
from core.theme import ACCENT, figure_layout
from core.wording import count, counted, listed, percent, shape, size
from pages.components.cached import cached
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob

WITHOUT_JOB = 32 << 20
"""Bytes up to which a tensor is measured at once. A larger one is measured by a job with a progress
bar."""

IMAGE_WIDTH = 380
"""The width in pixels up to which an image of filters is enlarged."""

MAX_NAMES = 4
"""The most records that are named; of the others only the number is shown."""

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
    """What is computed from a tensor's values.

    `histogram` is None without finite elements; `image` is None for sparse and nested tensors and
    for those of fewer than two elements.
    """

    statistics: Statistics
    histogram: Histogram | None
    image: TensorImage | None


def tensor_card(entry: TensorEntry, identity: str) -> None:
    """Draw the card; `identity` distinguishes this state_dict of this file from all others."""
    st.markdown(f"#### {code(entry.key)}")
    facts = [
        shape(entry.shape),
        entry.dtype,
        counted(entry.numel, "parameter"),
        size(entry.nbytes),
    ]
    if layout(entry) != STRIDED:
        facts.insert(2, layout(entry))
    st.caption(plain(" · ".join(facts)))
    note = storage_note(entry)
    if note:
        st.warning(plain_sentence(note), icon=":material/database:")
    numbers = numbers_note(entry)
    if numbers:
        st.caption(f":material/info: {plain_sentence(numbers)}")
    try:
        measured = _measured_or_job(entry, identity)
    except LoupeError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
        measured = None
    if measured is not None:
        _statistics_table(measured.statistics)
        if measured.histogram is not None:
            _histogram(measured.histogram, measured.statistics)
        if measured.image is not None:
            _image(measured.image)
    _storage(entry)


def measure_values(entry: TensorEntry, progress: Report = ignore) -> Measured:
    """Read the tensor once for its statistics, once for its histogram, and once for its image.

    Raises LoupeError if its bytes cannot be read, Cancelled if the job is cancelled.
    """
    numbers = statistics(entry, progress)
    bins = histogram(entry, measured=numbers, progress=progress)
    return Measured(numbers, bins, tensor_image(entry, progress))


@cached(128)
def _measured(identity: str, key: str, _entry: TensorEntry) -> Measured:
    return measure_values(_entry)


def _measured_or_job(entry: TensorEntry, identity: str) -> Measured | None:
    if not entry.records:
        st.info("This tensor has a shape but no data. It was saved from the meta device.")
        return None
    if entry.dtype in NUMBERLESS:
        st.info(f"PyTorch cannot convert {plain(entry.dtype)} elements to numbers to measure.")
        return None
    if entry.nbytes <= WITHOUT_JOB:
        return _measured(identity, entry.key, entry)
    job: SharedJob[Measured] = SharedJob("measure", f"{identity}|{entry.key}", max_results=128)
    if not job.under_way:
        measured = job.result
        if measured is not None:
            return measured
        job.draw_failure()
        st.caption("Statistics, histogram and image of this large tensor need all of its bytes.")
        if not pressed(f"Read {size(entry.nbytes)}", key=f"{job.widget_key}-start", type="primary"):
            return None
        job.start(lambda progress: measure_values(entry, progress))
        st.rerun()
    return job.watch("Reading the tensor")


def _statistics_table(numbers: Statistics) -> None:
    cells = {
        "min": _number(numbers.min),
        "max": _number(numbers.max),
        "mean": _number(numbers.mean),
        "std": _number(numbers.std),
        "zeros": _share(numbers.zeros, numbers.count),
        "NaN": _share(numbers.nan, numbers.count),
        "Inf": _share(numbers.inf, numbers.count),
        "elements": count(numbers.count),
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
    if numbers.of == "magnitude":
        st.caption("Complex numbers, measured by their magnitude.")
    if numbers.nan or numbers.inf:
        st.warning(
            f"Left out of min, max, mean and std: {count(numbers.nan)} NaN and "
            f"{counted(numbers.inf, 'infinite element')}.",
            icon=":material/error:",
        )


def _histogram(bins: Histogram, numbers: Statistics) -> None:
    centres = [(low + high) / 2 for low, high in zip(bins.edges, bins.edges[1:], strict=False)]
    ranges = [
        f"{low:.4g} to {high:.4g}" for low, high in zip(bins.edges, bins.edges[1:], strict=False)
    ]
    figure = go.Figure(
        go.Bar(
            x=centres,
            y=bins.counts,
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
        xaxis={"title": numbers.of, "automargin": True},
        yaxis={"title": "elements", "automargin": True},
    )
    st.plotly_chart(figure, config={"displayModeBar": False}, alt="Histogram of the elements")


def _image(image: TensorImage) -> None:
    if image.kind is ImageKind.FILTERS:
        # Enlarged here by whole pixels, since a browser interpolates an image that it enlarges.
        factor = max(1, IMAGE_WIDTH // image.values.shape[1])
        values = image.values.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
        st.image(values.numpy(), caption=plain(image.caption), width="content")
        return
    figure = figure_layout(_line(image) if image.kind is ImageKind.LINE else _heat_map(image))
    figure.update_layout(margin={"l": 8, "r": 8, "t": 8, "b": 8})
    st.plotly_chart(figure, config={"displayModeBar": False}, alt=image.caption)
    st.caption(plain(image.caption))


def _line(image: TensorImage) -> go.Figure:
    values = image.values[0]
    indices = torch.arange(values.numel()) * image.block[1]
    figure = go.Figure(
        go.Scatter(
            x=indices.tolist(),
            y=values.tolist(),
            mode="lines",
            line={"color": ACCENT, "width": 1.2},
            hovertemplate="[%{x}] %{y:.4g}<extra></extra>",
        )
    )
    return figure.update_layout(height=180, xaxis={"title": "index"}, yaxis={"title": "value"})


def _heat_map(image: TensorImage) -> go.Figure:
    values = image.values
    finite = values[values.isfinite()]
    bound = float(finite.abs().max()) if finite.numel() else 1.0
    # Of a large matrix each cell is a block of elements; the axes count elements all the same.
    rows, columns = image.block
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
        "tensor’s bytes": (
            size(parts_bytes(entry)) if stored_bytes(entry) != parts_bytes(entry) else ""
        ),
        "record’s bytes" if len(records) < 2 else "records’ bytes": size(stored_bytes(entry)),
        "storage offset": f"{count(entry.storage_offset)} elements" if is_strided else "",
        "stride": (", ".join(str(step) for step in entry.stride) or "none") if is_strided else "",
        "byte order": "big-endian, swapped when read" if first and first.big_endian else "",
        "requires_grad": "yes" if entry.requires_grad else "no",
        "device when saved": entry.location,
        "CRC-32": f"{first.crc32:08x}" if first and len(records) == 1 and first.crc32 else "",
    }
    with st.expander("Storage"):
        st.table(
            {plain(name): code(value) for name, value in facts.items() if value},
            border="horizontal",
        )


def _record_names(records: tuple[Record, ...]) -> str:
    names = list(dict.fromkeys(record.name for record in records))
    return listed(names, MAX_NAMES) or "none"


def _form(entry: TensorEntry) -> dict[str, str]:
    """What a tensor consists of if it is not strided: its scales, indices, rows or pieces."""
    match entry.form:
        case Quantized(scheme, scale, zero_point, axis):
            facts = {"quantized": scheme}
            for name, part in (("scale", scale), ("zero point", zero_point)):
                if isinstance(part, TensorEntry):
                    facts[f"{name}s"] = f"{count(part.numel)}, {part.dtype}"
                else:
                    facts[name] = f"{part:.6g}"
            return facts | ({"scales along axis": str(axis)} if axis is not None else {})
        case Sparse(name, parts, is_coalesced):
            words = {True: "yes", False: "no", None: ""}
            return {
                "layout": name,
                **{
                    part.key.rpartition(".")[2]: f"{shape(part.shape)}, {part.dtype}"
                    for part in parts
                },
                "coalesced": words[is_coalesced],
            }
        case Nested(sizes):
            return {"layout": "nested", "rows": count(sizes.shape[0] if sizes.shape else 0)}
        case Pieces(pieces):
            files = len({id(record.source) for record in entry.records})
            where = f"{count(files)} files" if files > 1 else "1 file"
            return {"pieces": f"{count(len(pieces))} in {where}"}
        case Derived(_, parts):
            names = ", ".join(part.origin or part.key for part in parts[:MAX_NAMES])
            return {"computed from": names or "nothing: all elements are one number"}
        case None:
            return {}


def _number(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else count(value)


def _share(part: int, whole: int) -> str:
    if not part:
        return "0"
    return f"{count(part)} ({percent(part / whole)})"
