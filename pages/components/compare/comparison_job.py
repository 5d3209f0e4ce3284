"""A compared with B: at once where checksums tell, else with a bar while bytes are read."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import StateDict
from core.compare import Choices, Comparison, Pairing, bytes_to_read, compare
from core.compare.pairing import pair
from core.wording import size
from pages.components.cached import cached
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob

STRAIGHT = 64 << 20
"""Bytes up to which files without checksums are compared at once, not as a job."""


def comparison_job(files: str, choices: Choices, a: StateDict, b: StateDict) -> Comparison | None:
    """Compare at once where checksums tell; else as a job with a progress bar, and None until it is
    done. `files` tells the two state_dicts from all others."""
    pairing, nbytes = _paired(files, choices, a, b)
    identity = f"{files}|{choices}"
    if nbytes <= STRAIGHT:
        return _compared(identity, a, b, pairing)
    job: SharedJob[Comparison] = SharedJob("comparison", identity, max_results=16)
    if not job.under_way:
        found = job.result
        if found is not None:
            return found
        ended = job.stopped or job.failed
        if ended and not _asked_again(job):
            return None
        job.start(lambda progress: compare(a, b, pairing, progress=progress))
        if ended:
            st.rerun()  # without what `_asked_again` drew
    found = job.watch()
    if found is None:
        st.caption(
            f"Checksums do not tell: {size(nbytes)} of tensors are read from each "
            "file, and compared."
        )
    return found


def _asked_again(job: SharedJob[Comparison]) -> bool:
    """Say how the last job ended, and offer another."""
    job.draw_failure()
    if job.stopped:
        st.info("The comparison was stopped.", icon=":material/info:")
    return pressed("Compare again", type="primary", key=f"{job.slot}-start")


@cached(16, show_spinner="Finding out which tensor is which")
def _paired(files: str, choices: Choices, _a: StateDict, _b: StateDict) -> tuple[Pairing, int]:
    """The pairs, and the bytes of each file that comparing them reads at most."""
    pairing = pair(_a, _b, choices)
    return pairing, bytes_to_read(pairing)


@cached(16)
def _compared(identity: str, _a: StateDict, _b: StateDict, _pairing: Pairing) -> Comparison:
    return compare(_a, _b, _pairing)
