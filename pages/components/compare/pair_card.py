"""One tensor of A next to the one of B: what changed in it, as numbers and charts."""

from __future__ import annotations

from collections.abc import Mapping
from math import isinf

import streamlit as st

from core.compare import Numbers, Row, State, comparable
from core.compare.one_pair import (
    PairValues,
    TensorPair,
    channel_figure,
    filters_image,
    histogram_figure,
    map_figure,
    pair_values,
    step_figure,
)
from core.errors import LoupeError
from core.plain_text import MAX_SENTENCE_LENGTH, code, markup, plain, plain_sentence
from core.tensors import Statistics
from core.wording import are, count, counted, percent, shape, share_text, size, small
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob

WITHOUT_JOB = 32 << 20
"""Bytes up to which a pair is read at once. A larger one is read by a job with a progress bar."""


def pair_card(row: Row, numbers: Numbers | None, identity: str) -> None:
    """Draw the card of a row; `identity` distinguishes the pair of files and their pairing from all
    others."""
    with st.container(border=True, key="pair-card", gap="small"):
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            st.markdown(f"**{code(row.key)}**", width="content")
            st.caption(_parameters(row), width="content")
        why_not = "" if comparable(row.a, row.b) else _why_not_comparable(row)
        if why_not:
            st.info(why_not, icon=":material/info:")
        try:
            values = _values_or_job(row, identity)
        except LoupeError as error:
            st.error(plain_sentence(str(error)), icon=":material/error:")
            values = None
        if values is not None:
            if values.pair is not None:
                _histogram(values.pair)
            st.html(STYLE + _table(values.statistics))
        if numbers is not None:
            st.html(STYLE + _numbers(numbers))
        st.caption(_description(row))
        is_same = row.state in (State.SAME, State.RENAMED)
        if values is not None and values.pair is not None and not is_same:
            _charts(values.pair)


STYLE = """<style>
.st-key-pair-card p > strong > code {background: none; padding: 0; font-weight: inherit;
  overflow-wrap: anywhere}
.loupe-sides {width: 100%; border-collapse: collapse; font-size: 0.9rem;
  font-variant-numeric: tabular-nums}
.loupe-sides td, .loupe-sides th {padding: 0.2rem 0; text-align: right; font-weight: 400;
  border: 0}
.loupe-sides th:first-child {text-align: left; color: var(--loupe-muted)}
.loupe-sides thead th {font-weight: 650}
.loupe-sides .A {color: var(--loupe-a)}
.loupe-sides .B {color: var(--loupe-b)}
.loupe-moved {display: grid; grid-template-columns: repeat(auto-fill, minmax(7.2rem, 1fr));
  gap: 0.4rem 1rem; border-top: 1px solid var(--loupe-line); padding-top: 0.6rem;
  font-variant-numeric: tabular-nums; font-size: 0.9rem}
.loupe-moved span {display: block; color: var(--loupe-muted)}
</style>"""


def _parameters(row: Row) -> str:
    """`196 608 parameters`, or both numbers where they differ."""
    numels = [count(entry.numel) for entry in (row.a, row.b) if entry is not None]
    return plain(f"{' → '.join(dict.fromkeys(numels))} parameters")


def _histogram(pair: TensorPair) -> None:
    figure = histogram_figure(pair)
    if figure is not None:
        st.plotly_chart(
            figure,
            config={"displayModeBar": False},
            alt="Values of A and B",
            key="pair-figure-values",
        )


def _table(measured: Mapping[str, Statistics]) -> str:
    """What each side's values are like, as HTML; rows that say nothing are left out."""
    lines: dict[str, list[str]] = {
        "mean": [_number(side.mean) for side in measured.values()],
        "std": [_number(side.std) for side in measured.values()],
        "min": [_number(side.min) for side in measured.values()],
        "max": [_number(side.max) for side in measured.values()],
        "zeros": [count(side.zeros) for side in measured.values()],
    }
    if any(side.nan for side in measured.values()):
        lines["NaN"] = [count(side.nan) for side in measured.values()]
    if any(side.inf for side in measured.values()):
        lines["Inf"] = [count(side.inf) for side in measured.values()]
    heads = "".join(
        f'<th scope="col" class="{markup(side)}">{markup(side)}</th>' for side in measured
    )
    rows = "".join(
        f'<tr><th scope="row">{markup(name)}</th>'
        + "".join(f"<td>{markup(text)}</td>" for text in texts)
        + "</tr>"
        for name, texts in lines.items()
    )
    if not measured:
        return ""
    return (
        f'<table class="loupe-sides"><thead><tr><th scope="col">value</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _number(number: float | None) -> str:
    return "–" if number is None else small(number, 4)


def _description(row: Row) -> str:
    facts = [plain(str(row.state))]
    for name, entry in (("A", row.a), ("B", row.b)):
        if entry is not None:
            facts.append(
                f"{plain(name)}: {shape(entry.shape)} {plain(entry.dtype)}, {size(entry.nbytes)}"
            )
    pair = row.pair
    if pair is not None and pair.why:
        why = plain(pair.why, MAX_SENTENCE_LENGTH)
        facts.append(f"paired by {plain(str(pair.by))} ({percent(pair.confidence)}): {why}")
    if row.note:
        facts.append(plain_sentence(row.note))
    return " · ".join(facts)


def _why_not_comparable(row: Row) -> str:
    if row.a is None or row.b is None:
        return "Only one of the two files contains this tensor. Inspect shows its values."
    if row.a.shape != row.b.shape:
        return "The shapes differ, so the elements cannot be compared one by one."
    return "One of the two is sparse or nested, or has no data to compare."


def _numbers(numbers: Numbers) -> str:
    """How far the two are from each other, as HTML."""
    cells = {
        "max |Δ|": small(numbers.max_abs, 4),
        "mean |Δ|": small(numbers.mean_abs, 4),
        "relative L2": "∞" if isinf(numbers.relative_l2) else share_text(numbers.relative_l2),
        "cosine": "–" if numbers.cosine is None else f"{numbers.cosine:.6f}",
        "changed": f"{count(numbers.changed)} of {count(numbers.count)}",
        "not close": count(numbers.outside),
        "sign flips": count(numbers.sign_flips),
        "norm A → B": f"{small(numbers.norm_a, 4)} → {small(numbers.norm_b, 4)}",
    }
    return (
        '<div class="loupe-moved">'
        + "".join(
            f"<div><span>{markup(name)}</span>{markup(text)}</div>" for name, text in cells.items()
        )
        + "</div>"
    )


def _values_or_job(row: Row, identity: str) -> PairValues | None:
    """The values of both sides; None while a job reads them or waits to be started."""
    nbytes = sum(entry.nbytes for entry in (row.a, row.b) if entry is not None)
    job: SharedJob[PairValues] = SharedJob("pair", f"{identity}|{row.key}", max_results=64)
    if not job.under_way:
        values = job.result
        if values is not None:
            return values
        if nbytes <= WITHOUT_JOB:
            values = pair_values(row)
            job.keep(values)
            return values
        job.draw_failure()
        label = f"Read the values ({size(nbytes)})"
        if not pressed(label, type="primary", key=f"{job.widget_key}-start"):
            return None
        job.start(lambda progress: pair_values(row, progress))
        st.rerun()
    return job.watch("Reading the tensor of A and B")


def _charts(pair: TensorPair) -> None:
    """Draw what else there is to see of the pair, where somebody has opened it."""
    details = st.expander("Where it changed", key="pair-details", on_change="rerun")
    if not details.open:
        return
    with details:
        if pair.left_out:
            elements = counted(pair.left_out, "NaN or infinite element")
            st.caption(f"{elements} {are(pair.left_out)} left out.")
        figures = [
            ("Difference, B − A", step_figure(pair)),
            (
                f"Where they differ: {pair.map.caption}" if pair.map else "",
                map_figure(pair.map) if pair.map else None,
            ),
            ("Change of each output channel", channel_figure(pair)),
        ]
        drawn = [(title, figure) for title, figure in figures if figure is not None]
        for index, (title, figure) in enumerate(drawn):
            st.caption(plain(title))
            st.plotly_chart(
                figure, config={"displayModeBar": False}, alt=title, key=f"pair-figure-{index}"
            )
        if pair.filters is not None:
            image, caption = filters_image(pair.filters)
            st.image(image.numpy(), caption=plain(caption), width="content")
