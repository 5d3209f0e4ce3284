"""The field that searches the keys of a table."""

from __future__ import annotations

import streamlit as st

from pages.components.link.page_view import shared

EXAMPLES = "layer1 conv, *.weight or /regex/"


def key_search(key: str, placeholder: str = EXAMPLES) -> str:
    """Draw the field. Returns the text to find, as `fitting_keys` reads it; `key` is the widget's,
    and its name in a link.

    The page is drawn again while a person types.
    """
    text: str | None = st.text_input(
        "Search keys",
        type="search",
        live=True,
        key=shared(key),
        placeholder=placeholder,
        label_visibility="collapsed",
    )
    return text or ""
