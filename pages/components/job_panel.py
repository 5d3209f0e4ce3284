"""A job's progress on the screen: how far, how long still, and a way to stop it."""

from __future__ import annotations

from typing import TypeVar

import streamlit as st

from core.jobs import Job

T = TypeVar("T")

REFRESH = 0.4
"""Seconds between two looks at a running job."""


def job_panel(key: str, job: Job[T]) -> T | None:
    """Draw a running job, None meanwhile; its result once it is done.

    Raises what the work raised, Cancelled included. The page runs again by itself at the end.
    """
    if job.running:
        _running(key, job)
        return None
    return job.result()


@st.fragment(run_every=REFRESH)
def _running(key: str, job: Job[T]) -> None:
    if not job.running:
        st.rerun()
    progress = job.progress
    text = progress.what or "Working"
    left = job.seconds_left
    if left is not None and left >= 1:
        text += f", about {left:.0f} s left"
    bar, action = st.columns([5, 1], vertical_alignment="center")
    bar.progress(progress.fraction, text=text)
    if action.button("Cancel", key=f"{key}-cancel", disabled=progress.cancelled, width="stretch"):
        job.cancel()
