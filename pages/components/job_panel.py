"""Shows a running job: its progress, the time left, and a button that cancels it."""

from __future__ import annotations

import time
from typing import TypeVar

import streamlit as st

from core.plain_text import plain_sentence
from core.progress import Cancelled
from core.server import Job
from core.wording import counted, duration
from pages.components.session import session_id

T = TypeVar("T")

PATIENCE = 0.25
"""Seconds to wait before a progress bar is drawn. For a shorter job it would only flicker."""


def job_panel(key: str, job: Job[T], doing: str = "Working") -> T | None:
    """Draw the progress bar while `job` runs. Returns its result once it is done, None until then.

    `doing` is what it does, in words, until the job itself says more.

    Raises Cancelled if this session stopped watching the job or all of its watchers did, else the
    LoupeError that the job raised.
    """
    if session_id() not in job.watchers:
        raise Cancelled
    job.wait(job.started + PATIENCE - time.monotonic())
    if job.unfinished:
        _watch(key, job, doing)
        return None
    return job.result()


@st.fragment(run_every=0.4)
def _watch(key: str, job: Job[T], doing: str) -> None:
    if not job.unfinished or session_id() not in job.watchers:
        st.rerun()
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    with left:
        st.progress(job.progress.fraction, text=plain_sentence(_progress_text(job, doing)))
    with right:
        st.button(
            "Cancel",
            key=f"{key}-cancel",
            on_click=job.leave,
            args=(session_id(),),
            disabled=job.progress.cancelled,
            width="stretch",
        )


def _progress_text(job: Job[T], doing: str) -> str:
    if job.progress.cancelled:
        return "Cancelling"
    before = job.before
    if before is not None:
        if not before:
            return "Waiting: your job is next"
        return f"Waiting: {counted(before, 'job')} before yours"
    activity = job.progress.what or doing
    seconds = job.seconds_left
    # In its first second a job has done too little to estimate the rest from.
    if seconds is None or time.monotonic() - job.started < 1:
        return activity
    return f"{activity}, about {duration(seconds)} left"
