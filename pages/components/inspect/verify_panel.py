"""Reads every byte of a checkpoint and compares it with the checksums in the file."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import Checkpoint
from core.inspect import Verification, verification_summary, verify
from core.plain_text import plain_sentence, visible
from core.progress import Progress
from core.wording import size
from pages.components.pressed import pressed
from pages.components.shared_job import SharedJob


def verify_panel(checkpoint: Checkpoint) -> None:
    """Draw the button, the job that it starts, and the result, which all sessions share."""
    job: SharedJob[Verification] = SharedJob("verify", checkpoint.identity, max_results=64)
    under_way, result = job.under_way, job.result
    if result is not None:
        _result(result)
    else:
        st.markdown(_promise(checkpoint))
    if under_way:
        if job.watch("Checking the checksums") is not None:
            st.rerun()
        return
    job.draw_failure()
    label = "Verify checksums again" if result else "Verify checksums"
    if pressed(label, key=f"{job.widget_key}-start", type="secondary" if result else "primary"):
        job.start(lambda progress: _work(checkpoint, progress))
        st.rerun()


def _promise(checkpoint: Checkpoint) -> str:
    """What the verification will show, which depends on whether the file has checksums."""
    has_checksums = any(
        record.crc32 is not None
        for state_dict in checkpoint.state_dicts.values()
        for entry in state_dict.values()
        for record in entry.records
    )
    if has_checksums:
        return (
            f"Reads all {size(checkpoint.size)} once and compares each record with the checksum "
            "that was saved with it. This shows a broken download, a failing disk or a changed bit."
        )
    return (
        f"This format has no checksums. Reading all {size(checkpoint.size)} once shows whether the "
        "disk can still read them, but no changed bit."
    )


def _work(checkpoint: Checkpoint, progress: Progress) -> Verification:
    def report(done: int, total: int, _: str) -> None:
        progress(done, total, f"{size(done)} of {size(total)} read")

    return verify(checkpoint, report)


def _result(verification: Verification) -> None:
    summary = plain_sentence(verification_summary(verification))
    if verification.sound:
        st.success(summary, icon=":material/verified:")
        return
    st.error(summary, icon=":material/heart_broken:")
    st.dataframe(
        {
            "record": [visible(damage.record) for damage in verification.damaged],
            "tensors": [
                visible(", ".join(damage.keys)) or "none" for damage in verification.damaged
            ],
            "problem": [visible(damage.problem) for damage in verification.damaged],
        },
        hide_index=True,
        height=400 if len(verification.damaged) > 10 else "content",
        column_config={
            "record": st.column_config.TextColumn("Record", width="medium"),
            "tensors": st.column_config.TextColumn("Tensors in it", width="medium"),
            "problem": st.column_config.TextColumn("Problem", width="large"),
        },
        lazy=False,
        alt="Damaged records",
    )
