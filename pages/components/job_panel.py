"""Watches a job: how far it is, how long it will take still, and a way to stop it."""

from __future__ import annotations

import time
from typing import TypeVar

import streamlit as st

from core.jobs import Job
from core.plain_text import plain_sentence
from core.theme import duration

T = TypeVar("T")

PATIENCE = 0.25
"""Seconds to wait before a bar is drawn: it would only flicker for what is over by then."""


def job_panel(key: str, job: Job[T]) -> T | None:
    """Draw the bar while `job` runs; its result once it is done, None until then.

    Raises what the job raised: Cancelled where it was stopped, else mostly a LoupeError.
    """
    until = job.started + PATIENCE
    while job.running and time.monotonic() < until:
        time.sleep(0.02)
    if job.running:
        _watch(key, job)
        return None
    return job.result()


@st.fragment(run_every=0.4)
def _watch(key: str, job: Job[T]) -> None:
    if not job.running:
        st.rerun()
    progress = job.progress
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    with left:
        st.progress(progress.fraction, text=plain_sentence(_said(job)))
    with right:
        st.button(
            "Cancel",
            key=f"{key}-cancel",
            on_click=job.cancel,
            disabled=progress.cancelled,
            width="stretch",
        )


def _said(job: Job[T]) -> str:
    if job.progress.cancelled:
        return "Stopping"
    said = job.progress.what or "Working"
    left = job.seconds_left
    if left is None or time.monotonic() - job.started < 1:
        return said
    return f"{said}, about {duration(left)} left"
