"""The button that puts a link to what the person sees on the clipboard."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.server import link_query
from pages.components.link.page_view import view
from pages.components.panels.own_component import own_component
from pages.components.workspace import workspace

_FOLDER = Path(__file__).parent / "copy_widget"

_KEY = "copy-link"


def copy_link(page: str) -> None:
    """Draw the button. The link opens the same page, with the same bench, row and filters.

    A fragment of the page may have drawn new filters without this button. So a click asks for the
    link as it is now: the browser raises `asked`, and copies once it is `answered`.
    """
    asked = st.session_state.get(_KEY, {}).get("asked")
    own_component(_FOLDER, "copy_link")(
        key=_KEY,
        data={"query": link_query(workspace().bench, view(page)), "answered": asked},
        on_asked_change=lambda: None,
        width="content",
    )
