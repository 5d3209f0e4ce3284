"""Watches a job: how far it is, how long it will take still, and a way to stop it."""

from __future__ import annotations

import time
from typing import TypeVar

import streamlit as st

from core.plain_text import plain_sentence
from core.progress import Cancelled
from core.server import Job
from core.wording import count, duration
from pages.components.session import session_id

T = TypeVar("T")

PATIENCE = 0.25
"""Seconds to wait before a bar is drawn: it would only flicker for what is over by then."""


def job_panel(key: str, job: Job[T]) -> T | None:
    """Draw the bar while `job` runs; its result once it is done, None until then.

    Raises what the job raised: Cancelled where this session or all of its watchers stopped it, else
    a LoupeError.
    """
    if session_id() not in job.watchers:
        raise Cancelled
    until = job.started + PATIENCE
    while job.running and time.monotonic() < until:
        time.sleep(0.02)
    if job.running:
        _watch(key, job)
        return None
    return job.result()


@st.fragment(run_every=0.4)
def _watch(key: str, job: Job[T]) -> None:
    if not job.running or session_id() not in job.watchers:
        st.rerun()
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    with left:
        st.progress(job.progress.fraction, text=plain_sentence(_said(job)))
    with right:
        st.button(
            "Cancel",
            key=f"{key}-cancel",
            on_click=job.leave,
            args=(session_id(),),
            disabled=job.progress.cancelled,
            width="stretch",
        )


def _said(job: Job[T]) -> str:
    if job.progress.cancelled:
        return "Stopping"
    before = job.before
    if before is not None:
        return f"Waiting: {count(before)} before yours" if before else "Waiting: yours is next"
    said = job.progress.what or "Working"
    left = job.seconds_left
    if left is None or time.monotonic() - job.started < 1:
        return said
    return f"{said}, about {duration(left)} left"
