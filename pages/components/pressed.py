"""A button whose click is never lost."""

from __future__ import annotations

from typing import Any

import streamlit as st


def pressed(label: str, *, key: str, **look: Any) -> bool:
    """Draw a button; whether it was clicked since it was last drawn.

    `look` is what st.button takes, such as `type` and `icon`. Where a click comes just as the run
    before it ends, that end clears what st.button would return (Streamlit's
    SessionState._reset_triggers), before this run has come to the button. A callback runs first, so
    the click is noted there, and stays noted until it is asked for.
    """
    note = f"{key}-pressed"

    def click() -> None:
        st.session_state[note] = True

    st.button(label, key=key, on_click=click, **look)
    return bool(st.session_state.pop(note, False))
