"""A button whose click is never lost."""

from __future__ import annotations

from typing import Any

import streamlit as st


def pressed(label: str, *, key: str, **look: Any) -> bool:
    """Draw a button. Returns whether it was clicked since it was last drawn.

    `look` are further arguments of st.button, such as `type` and `icon`.

    st.button alone can lose a click. If the click arrives just as the previous run ends, the end of
    that run clears the button's value (Streamlit's SessionState._reset_triggers) before the next
    run reaches the button. Callbacks run before the script, so the click is noted in a callback and
    kept until this function reads it.
    """
    pressed_key = f"{key}-pressed"

    def note_click() -> None:
        st.session_state[pressed_key] = True

    st.button(label, key=key, on_click=note_click, **look)
    return bool(st.session_state.pop(pressed_key, False))
