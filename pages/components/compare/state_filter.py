"""The number of tensors by state; each state is a filter."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import streamlit as st

from core.compare import State
from core.plain_text import plain
from core.theme import STATE_MARKS
from core.wording import count


def state_filter(counts: Mapping[State, int], key: str) -> Collection[State]:
    """Draw a pill with a count for each state that occurs. Returns the chosen states; none means
    all. At first those are chosen that differ, if any do."""
    present = [state for state in State if counts[state]]
    differing = [state for state in present if state is not State.SAME]
    chosen = st.pills(
        "Show",
        present,
        selection_mode="multi",
        default=differing,
        format_func=lambda state: (
            f"{plain(STATE_MARKS[state].sign)} {plain(str(state))} **{count(counts[state])}**"
        ),
        key=key,
        label_visibility="collapsed",
    )
    return tuple(chosen)
