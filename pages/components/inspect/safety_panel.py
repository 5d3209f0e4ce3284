"""The Python globals that the file's pickles name, where, and what Loupe did with them."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import Checkpoint, Verdict
from core.inspect import safety_summary
from core.plain_text import plain_sentence, visible
from core.theme import STATE_COLOURS

ICONS = {
    None: ":material/verified_user:",
    Verdict.PLAIN: ":material/verified_user:",
    Verdict.INERT: ":material/shield:",
    Verdict.DANGEROUS: ":material/gpp_bad:",
}
LOUPE_DID = {
    Verdict.PLAIN: "Rebuilt by Loupe’s own code",
    Verdict.INERT: "Kept as its name and state, never imported",
    Verdict.DANGEROUS: "Read as data, never called",
}
ORDER = [Verdict.DANGEROUS, Verdict.INERT, Verdict.PLAIN]


def safety_verdict(checkpoint: Checkpoint) -> None:
    """Draw one line that says whether the file could run code."""
    summary = safety_summary(checkpoint)
    icon = ICONS[summary.worst]
    if summary.worst is Verdict.DANGEROUS:
        st.error(plain_sentence(summary.sentence), icon=icon)
    else:
        st.markdown(f"{icon} {plain_sentence(summary.sentence)}")


def safety_panel(checkpoint: Checkpoint) -> None:
    """Draw each global with its verdict, the most dangerous first."""
    summary = safety_summary(checkpoint)
    st.markdown(plain_sentence(summary.detail))
    if not checkpoint.globals:
        return
    uses = sorted(checkpoint.globals, key=lambda use: (ORDER.index(use.verdict), use.name))
    st.dataframe(
        {
            "name": [visible(use.name) for use in uses],
            "verdict": [[str(use.verdict)] for use in uses],
            "uses": [use.uses for use in uses],
            "where": [visible(use.where) for use in uses],
            "did": [LOUPE_DID[use.verdict] for use in uses],
            "reason": [visible(use.reason) for use in uses],
        },
        hide_index=True,
        height=560 if len(uses) > 15 else "content",
        column_config={
            "name": st.column_config.TextColumn("Python global", width="medium"),
            "verdict": st.column_config.MultiselectColumn(
                "Verdict",
                width="medium",
                options=[str(verdict) for verdict in ORDER],
                color=[STATE_COLOURS[str(verdict)] for verdict in ORDER],
            ),
            "uses": st.column_config.NumberColumn("Uses", width="small"),
            "where": st.column_config.TextColumn("First use", width="medium"),
            "did": st.column_config.TextColumn("What Loupe did"),
            "reason": st.column_config.TextColumn("Reason for the verdict", width="large"),
        },
        lazy=False,
        alt="Python globals that the file's pickles name, and where",
    )
