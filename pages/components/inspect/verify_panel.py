"""Reads every byte of a checkpoint and holds it against the checksums that the file keeps."""

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
    """The button, the job behind it, and what came out; kept for all sessions."""
    job: SharedJob[Verification] = SharedJob("verify", checkpoint.identity, max_results=64)
    going, before = job.under_way, job.result
    if before is not None:
        _outcome(before)
    else:
        st.markdown(_promise(checkpoint))
    if going:
        if job.watch() is not None:
            st.rerun()
        return
    job.draw_failure()
    words = "Verify checksums again" if before else "Verify checksums"
    if pressed(words, key=f"{job.slot}-start", type="secondary" if before else "primary"):
        job.start(lambda progress: _work(checkpoint, progress))
        st.rerun()


def _promise(checkpoint: Checkpoint) -> str:
    kept = any(
        record.crc32 is not None
        for state_dict in checkpoint.state_dicts.values()
        for entry in state_dict.values()
        for record in entry.records
    )
    if kept:
        return (
            f"Reads all {size(checkpoint.size)} once, and compares each record with the checksum "
            "that was saved with it: a broken download, a failing disk or a changed bit shows."
        )
    return (
        f"This format keeps no checksums. Reading all {size(checkpoint.size)} once shows whether "
        "the disk can still give them, and no changed bit."
    )


def _work(checkpoint: Checkpoint, progress: Progress) -> Verification:
    def tell(done: int, total: int) -> None:
        progress.report(done, total, f"{size(done)} of {size(total)} read")

    return verify(checkpoint, tell)


def _outcome(found: Verification) -> None:
    summary = plain_sentence(verification_summary(found))
    if found.sound:
        st.success(summary, icon=":material/verified:")
        return
    st.error(summary, icon=":material/heart_broken:")
    st.dataframe(
        {
            "record": [visible(damage.record) for damage in found.damaged],
            "tensors": [visible(", ".join(damage.keys)) or "none" for damage in found.damaged],
            "problem": [visible(damage.problem) for damage in found.damaged],
        },
        hide_index=True,
        height=400 if len(found.damaged) > 10 else "content",
        column_config={
            "record": st.column_config.TextColumn("Record", width="medium"),
            "tensors": st.column_config.TextColumn("Tensors in it", width="medium"),
            "problem": st.column_config.TextColumn("What is wrong", width="large"),
        },
        lazy=False,
        alt="Damaged records",
    )
