"""Which of the two slots a page works on."""

from __future__ import annotations

import streamlit as st

from core.plain_text import plain
from pages.components.workspace import workspace


def slot_switch(key: str) -> str | None:
    """Draw the switch where both slots hold a file; None while neither does."""
    bench = workspace()
    opened = {slot: bench.checkpoint(slot) for slot in ("A", "B")}
    names = {slot: found.name for slot, found in opened.items() if found is not None}
    if len(names) < 2:
        return next(iter(names), None)
    st.session_state.setdefault(f"{key}-slot", "A")
    return st.segmented_control(
        "File",
        list(names),
        required=True,
        format_func=lambda slot: f"{slot} · {plain(names[slot])}",
        key=f"{key}-slot",
        persist_state="session",
    )
