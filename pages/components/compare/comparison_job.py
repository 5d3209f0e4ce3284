"""Compares A with B: at once if checksums decide, else by a job that reads the bytes."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import StateDict
from core.compare import Choices, Comparison, Pairing, bytes_to_read, compare
from core.compare.pairing import pair
from core.wording import size
from pages.components.cached import cached
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob

WITHOUT_JOB = 64 << 20
"""Bytes of tensors up to which files without checksums are compared at once, without a job."""


def comparison_job(files: str, choices: Choices, a: StateDict, b: StateDict) -> Comparison | None:
    """Compare at once if checksums decide, else by a job with a progress bar.

    Returns None until the job is done. `files` distinguishes the two state_dicts from all others.
    """
    pairing, nbytes = _paired(files, choices, a, b)
    identity = f"{files}|{choices}"
    if nbytes <= WITHOUT_JOB:
        return _compared(identity, a, b, pairing)
    job: SharedJob[Comparison] = SharedJob("comparison", identity, max_results=16)
    if not job.under_way:
        comparison = job.result
        if comparison is not None:
            return comparison
        ended = job.stopped or job.failed
        if ended and not _retry_pressed(job):
            return None
        job.start(lambda progress: compare(a, b, pairing, progress=progress))
        if ended:
            st.rerun()  # without what `_retry_pressed` drew
    comparison = job.watch()
    if comparison is None:
        st.caption(
            f"Checksums alone do not decide, so {size(nbytes)} of tensors are read from each file "
            "and compared."
        )
    return comparison


def _retry_pressed(job: SharedJob[Comparison]) -> bool:
    """Draw how the last job ended and a button that starts another; whether it was pressed."""
    job.draw_failure()
    if job.stopped:
        st.info("The comparison was cancelled.", icon=":material/info:")
    return pressed("Compare again", type="primary", key=f"{job.widget_key}-start")


@cached(16, show_spinner="Pairing the tensors of A and B")
def _paired(files: str, choices: Choices, _a: StateDict, _b: StateDict) -> tuple[Pairing, int]:
    """The pairs, and the most bytes of each file that their comparison reads."""
    pairing = pair(_a, _b, choices)
    return pairing, bytes_to_read(pairing)


@cached(16)
def _compared(identity: str, _a: StateDict, _b: StateDict, _pairing: Pairing) -> Comparison:
    return compare(_a, _b, _pairing)
