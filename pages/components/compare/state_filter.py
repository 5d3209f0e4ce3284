"""The number of tensors by state; each state is a filter."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import streamlit as st

from core.compare import State
from core.plain_text import plain
from core.theme import STATE_MARKS
from core.wording import count
from pages.components.link.page_view import shared, some_of

USUAL = (State.CHANGED, State.SAME, State.ONLY_A, State.ONLY_B)
"""The states whose count says something also where it is 0."""

ORDER = (State.CHANGED, *(state for state in State if state not in USUAL), *USUAL[1:])
"""What differs comes first, what is on one side only last."""


def state_filter(counts: Mapping[State, int], key: str) -> Collection[State]:
    """Draw a pill with a count for each state that occurs, and for the USUAL ones. Returns the
    chosen states; none means all. At first those are chosen that differ, if any do."""
    present = [state for state in ORDER if counts[state] or state in USUAL]
    differing = [state for state in present if counts[state] and state is not State.SAME]
    chosen = st.pills(
        "Show",
        present,
        selection_mode="multi",
        default=differing,
        format_func=lambda state: (
            f"{plain(STATE_MARKS[state].sign)} {plain(str(state))} **{count(counts[state])}**"
        ),
        key=shared("compare-states", differing, some_of(present), key),
        label_visibility="collapsed",
    )
    return tuple(chosen)
