"""One tensor of A next to the one of B: what changed in it, as numbers and charts."""

from __future__ import annotations

import streamlit as st

from core.compare import Numbers, Row, comparable
from core.compare.one_pair import (
    TensorPair,
    channel_figure,
    filters_image,
    histogram_figure,
    map_figure,
    step_figure,
    tensor_pair,
)
from core.errors import LoupeError
from core.plain_text import MAX_SENTENCE_LENGTH, plain, plain_sentence
from core.wording import are, count, counted, percent, shape, size
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob

WITHOUT_JOB = 32 << 20
"""Bytes up to which a pair is read at once. A larger one is read by a job with a progress bar."""


def pair_card(row: Row, numbers: Numbers | None, identity: str) -> None:
    """Draw the card of a row; `identity` distinguishes the pair of files and their pairing from all
    others."""
    st.markdown(f"#### {plain(row.key)}")
    st.caption(_description(row))
    if not comparable(row.a, row.b):
        st.info(_why_not_comparable(row), icon=":material/info:")
        return
    if numbers is not None:
        _numbers(numbers)
    try:
        pair = _pair_or_job(row, identity)
    except LoupeError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return
    if pair is not None:
        _charts(pair)


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


def _numbers(numbers: Numbers) -> None:
    cells = {
        "max |Δ|": f"{numbers.max_abs:.4g}",
        "mean |Δ|": f"{numbers.mean_abs:.4g}",
        "relative L2": f"{numbers.relative_l2:.4g}",
        "cosine": "–" if numbers.cosine is None else f"{numbers.cosine:.6f}",
        "changed": f"{count(numbers.changed)} of {count(numbers.count)}",
        "not close": count(numbers.outside),
        "sign flips": count(numbers.sign_flips),
        "norm A → B": f"{numbers.norm_a:.4g} → {numbers.norm_b:.4g}",
    }
    with st.container(horizontal=True, gap="medium"):
        for name, text in cells.items():
            with st.container(width="content", gap=None):
                st.caption(plain(name))
                st.markdown(f"**{plain(text)}**")


def _pair_or_job(row: Row, identity: str) -> TensorPair | None:
    """The pair's values for the charts; None while a job reads them or waits to be started."""
    assert row.a is not None
    assert row.b is not None
    a, b = row.a, row.b
    job: SharedJob[TensorPair] = SharedJob("pair", f"{identity}|{row.key}", max_results=64)
    if not job.under_way:
        pair = job.result
        if pair is not None:
            return pair
        if a.nbytes + b.nbytes <= WITHOUT_JOB:
            pair = tensor_pair(a, b)
            job.keep(pair)
            return pair
        job.draw_failure()
        label = f"Draw the charts (reads {size(a.nbytes + b.nbytes)} twice)"
        if not pressed(label, type="primary", key=f"{job.widget_key}-start"):
            return None
        job.start(lambda progress: tensor_pair(a, b, progress))
        st.rerun()
    return job.watch()


def _charts(pair: TensorPair) -> None:
    if pair.left_out:
        elements = counted(pair.left_out, "NaN or infinite element")
        st.caption(f"{elements} {are(pair.left_out)} left out.")
    figures = [
        ("Values of A and B", histogram_figure(pair)),
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
