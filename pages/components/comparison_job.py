"""A compared with B: at once where checksums tell, else with a bar while bytes are read."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import StateDict
from core.compare.judge import bytes_to_read, compare
from core.compare.pairing import pair
from core.compare.words import Choices, Comparison, Pairing
from core.errors import LoupeError
from core.jobs import Cancelled, Job
from core.plain_text import plain_sentence
from core.theme import size
from pages.components.job_panel import job_panel
from pages.components.resources import jobs

STRAIGHT = 64 << 20
"""Bytes up to which files without checksums are compared at once, not as a job."""


def comparison_job(files: str, choices: Choices, a: StateDict, b: StateDict) -> Comparison | None:
    """Compare at once where checksums tell; else as a job with a progress bar, and None until it is
    done. `files` tells the two state_dicts from all others."""
    pairing = _paired(files, choices, a, b)
    identity = f"{files}|{choices}"
    if bytes_to_read(pairing) <= STRAIGHT:
        return _compared(identity, a, b, pairing)
    kept = _kept(identity)
    if kept:
        return kept[0]
    slot = f"comparison-job-{identity}"
    if slot not in st.session_state:
        st.session_state[slot] = jobs().start(
            lambda progress: compare(a, b, pairing, progress=progress)
        )
    job: Job[Comparison] = st.session_state[slot]
    try:
        found = job_panel(slot, job)
    except Cancelled:
        del st.session_state[slot]
        st.info("The comparison was stopped.", icon=":material/info:")
        st.button("Compare again", type="primary")
        return None
    except LoupeError as error:
        del st.session_state[slot]
        st.error(plain_sentence(str(error)), icon=":material/error:")
        return None
    if found is None:
        st.caption(
            f"Checksums do not tell: {size(bytes_to_read(pairing))} of tensors are read from each "
            "file, and compared."
        )
        return None
    del st.session_state[slot]
    kept.append(found)
    return found


@st.cache_resource(max_entries=16, show_spinner="Finding out which tensor is which")
def _paired(files: str, choices: Choices, _a: StateDict, _b: StateDict) -> Pairing:
    return pair(_a, _b, choices)


@st.cache_resource(max_entries=16, show_spinner=False)
def _compared(identity: str, _a: StateDict, _b: StateDict, _pairing: Pairing) -> Comparison:
    return compare(_a, _b, _pairing)


@st.cache_resource(max_entries=16, show_spinner=False)
def _kept(identity: str) -> list[Comparison]:
    """Where a job's result is kept for all sessions; empty until it is there."""
    return []
