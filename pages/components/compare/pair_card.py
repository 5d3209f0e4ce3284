"""One tensor of A beside the one of B: what changed in it, as numbers and pictures."""

from __future__ import annotations

import streamlit as st

from core.compare import Numbers, Row, comparable
from core.compare.numbers import (
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
from core.wording import count, shape, size
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob

STRAIGHT = 32 << 20
"""Bytes up to which a pair is drawn at once; a larger one is a job with a progress bar."""


def pair_card(row: Row, found: Numbers | None, identity: str) -> None:
    """Draw it; `identity` tells the pair of files and how their tensors are paired."""
    st.markdown(f"#### {plain(row.key)}")
    st.caption(_described(row))
    if not comparable(row.a, row.b):
        st.info(_why_not(row), icon=":material/info:")
        return
    if found is not None:
        _numbers(found)
    try:
        pictures = _drawn(row, identity)
    except LoupeError as error:
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return
    if pictures is not None:
        _pictures(pictures)


def _described(row: Row) -> str:
    told = [plain(str(row.state))]
    for name, entry in (("A", row.a), ("B", row.b)):
        if entry is not None:
            told.append(
                f"{plain(name)}: {shape(entry.shape)} {plain(entry.dtype)}, {size(entry.nbytes)}"
            )
    pair = row.pair
    if pair is not None and pair.why:
        why = plain(pair.why, MAX_SENTENCE_LENGTH)
        told.append(f"paired by {plain(str(pair.by))} ({pair.confidence:.0%}): {why}")
    if row.note:
        told.append(plain_sentence(row.note))
    return " · ".join(told)


def _why_not(row: Row) -> str:
    if row.a is None or row.b is None:
        return "Only one of the two files holds it: Inspect shows its values."
    if row.a.shape != row.b.shape:
        return "The shapes differ, so there are no elements to compare one by one."
    return "One of the two is sparse or nested, or holds no data that could be compared."


def _numbers(found: Numbers) -> None:
    cells = {
        "max |Δ|": f"{found.max_abs:.4g}",
        "mean |Δ|": f"{found.mean_abs:.4g}",
        "relative L2": f"{found.relative_l2:.4g}",
        "cosine": "–" if found.cosine is None else f"{found.cosine:.6f}",
        "changed": f"{count(found.changed)} of {count(found.count)}",
        "not close": count(found.outside),
        "sign flips": count(found.sign_flips),
        "norm A → B": f"{found.norm_a:.4g} → {found.norm_b:.4g}",
    }
    with st.container(horizontal=True, gap="medium"):
        for name, text in cells.items():
            with st.container(width="content", gap=None):
                st.caption(plain(name))
                st.markdown(f"**{plain(text)}**")


def _drawn(row: Row, identity: str) -> TensorPair | None:
    assert row.a is not None
    assert row.b is not None
    a, b = row.a, row.b
    job: SharedJob[TensorPair] = SharedJob("pair", f"{identity}|{row.key}", max_results=64)
    if not job.under_way:
        found = job.result
        if found is not None:
            return found
        if a.nbytes + b.nbytes <= STRAIGHT:
            found = tensor_pair(a, b)
            job.keep(found)
            return found
        job.draw_failure()
        nbytes = size(a.nbytes + b.nbytes)
        if not pressed(f"Draw it: reads {nbytes} twice", type="primary", key=f"{job.slot}-start"):
            return None
        job.start(lambda progress: tensor_pair(a, b, progress))
        st.rerun()
    return job.watch()


def _pictures(found: TensorPair) -> None:
    if found.left_out:
        st.caption(f"{count(found.left_out)} elements that are NaN or infinite are left out.")
    figures = [
        ("Values of A and B", histogram_figure(found)),
        ("The difference, B − A", step_figure(found)),
        (
            f"Where it differs: {found.map.caption}" if found.map else "",
            map_figure(found.map) if found.map else None,
        ),
        ("Change of each output channel", channel_figure(found)),
    ]
    columns = st.columns(2, gap="medium")
    drawn = [(title, figure) for title, figure in figures if figure is not None]
    for index, (title, figure) in enumerate(drawn):
        with columns[index % 2]:
            st.caption(plain(title))
            st.plotly_chart(
                figure, config={"displayModeBar": False}, alt=title, key=f"pair-figure-{index}"
            )
    if found.filters is not None:
        image, caption = filters_image(found.filters)
        st.image(image.numpy(), caption=plain(caption), width="content")
