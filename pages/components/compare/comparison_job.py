"""Compares A with B: at once if checksums decide or the files are small, else by a job that reads
the bytes."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import StateDict
from core.compare import Choices, Comparison, Pairing, bytes_to_read, compare, is_read_by_itself
from core.compare.pairing import pair
from core.inspect import RecordChecks
from core.wording import size, tensors
from pages.components.cached import cached
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob

WITHOUT_JOB = 64 << 20
"""Bytes of tensors up to which files without checksums are compared at once, without a job."""


def comparison_job(
    files: str, choices: Choices, a: StateDict, b: StateDict
) -> tuple[Comparison, str] | None:
    """Compare at once if that is quick, else by a job with a progress bar. Of large files equal
    checksums are trusted until somebody asks for the bytes (see `read_offer`).

    Returns the comparison and its identity, which distinguishes it from all others, or None until
    the job is done. `files` distinguishes the two state_dicts from all others.
    """
    identity = f"{files}|{choices}"
    pairing, nbytes, by_itself = _paired(files, choices, a, b)
    if by_itself:
        return _compared(identity, a, b, pairing, read=True), f"{identity}|read"
    read = _reading(identity).result
    if read is not None:
        return read, f"{identity}|read"
    if nbytes <= WITHOUT_JOB:
        return _compared(identity, a, b, pairing, read=False), identity
    job: SharedJob[Comparison] = SharedJob("comparison", identity, max_results=16)
    if not job.under_way:
        comparison = job.result
        if comparison is not None:
            return comparison, identity
        ended = job.stopped or job.failed
        if ended and not _retry_pressed(job):
            return None
        job.start(lambda progress: compare(a, b, pairing, progress=progress))
        if ended:
            st.rerun()  # without what `_retry_pressed` drew
    comparison = job.watch("Comparing the tensors of A and B")
    if comparison is None:
        st.caption(
            f"Checksums alone do not decide, so {size(nbytes)} of tensors are read from each file "
            "and compared."
        )
        return None
    return comparison, identity


def read_offer(identity: str, comparison: Comparison, a: StateDict, b: StateDict) -> None:
    """Draw a button that reads the tensors that are the same by checksum, if there are any, or the
    progress of that. `identity` is that of the comparison."""
    unread = sum(row.by_checksum for row in comparison.rows)
    if not unread:
        return
    job = _reading(identity)
    if not job.under_way:
        job.draw_failure()
        if not pressed(
            f"Read and compare {tensors(unread)}",
            help=f"Reads {size(a.nbytes)} of A and {size(b.nbytes)} of B, compares the bytes, and "
            "checks the stored checksums.",
            icon=":material/fact_check:",
            key=f"{job.widget_key}-start",
        ):
            return
        pairing = comparison.pairing
        job.start(lambda progress: compare(a, b, pairing, checks=RecordChecks(), progress=progress))
        st.rerun()  # without the button
    if job.watch("Reading the tensors of A and B") is not None:
        st.rerun()  # with the comparison that read the bytes


def _reading(identity: str) -> SharedJob[Comparison]:
    return SharedJob("comparison-read", identity, max_results=16)


def _retry_pressed(job: SharedJob[Comparison]) -> bool:
    """Draw how the last job ended and a button that starts another; whether it was pressed."""
    job.draw_failure()
    if job.stopped:
        st.info("The comparison was cancelled.", icon=":material/info:")
    return pressed("Compare again", type="primary", key=f"{job.widget_key}-start")


@cached(16, show_spinner="Pairing the tensors of A and B")
def _paired(
    files: str, choices: Choices, _a: StateDict, _b: StateDict
) -> tuple[Pairing, int, bool]:
    """The pairs, the most bytes of each file that their comparison by checksums reads, and whether
    the files are so small that they are read."""
    pairing = pair(_a, _b, choices)
    return pairing, bytes_to_read(pairing), is_read_by_itself(_a, _b)


@cached(16)
def _compared(
    identity: str, _a: StateDict, _b: StateDict, _pairing: Pairing, *, read: bool
) -> Comparison:
    return compare(_a, _b, _pairing, checks=RecordChecks() if read else None)
