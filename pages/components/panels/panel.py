"""A panel of a page: a head with its title, its state and a place for actions, and a body."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.plain_text import plain

MARKS: Mapping[str, str] = {
    "": "",
    "proposed": ":yellow[! proposed]",
    "applied": ":green[✓ applied]",
    "in part": ":yellow[! in part]",
    "none needed": ":green[✓ none needed]",
    "sure": ":green[✓ sure]",
    "fits": ":green[✓ fits]",
    "to choose": ":yellow[! to choose]",
    "nearest": ":yellow[! nearest]",
    "other": ":yellow[! does not fit]",
    "loaded": ":green[● loaded]",
}
"""The state of a panel: a sign and a word in the colour that they have on every page."""


def panel(key: str, title: str, mark: str = "") -> tuple[DeltaGenerator, DeltaGenerator]:
    """Draw an empty panel. Returns the place at the right of its title, and its body.

    `mark` is one of MARKS, `key` the panel's own on the page.
    """
    with st.container(border=True, gap=None, key=f"panel-{key}"):
        st.html(_STYLE)
        with st.container(
            horizontal=True,
            vertical_alignment="center",
            horizontal_alignment="distribute",
            wrap=False,
            key=f"panelhead-{key}",
        ):
            st.markdown(f"**{plain(title)}**", width="content")
            tools = st.container(
                width="content", horizontal=True, vertical_alignment="center", gap="xsmall"
            )
            if mark:
                tools.markdown(MARKS[mark], width="content")
        body = st.container(gap="small", key=f"panelbody-{key}")
    return tools, body


_STYLE = """<style>
.stApp [class*=st-key-panel-] {padding: 0}
[class*=st-key-panelhead-] p {white-space: nowrap}
[class*=st-key-panelhead-] .stMarkdownColoredText {font-size: 0.9rem; font-weight: 600}
[class*=st-key-panelhead-] {padding: 0.4rem 0.75rem; min-height: 2.75rem;
  border-bottom: 1px solid var(--loupe-line)}
[class*=st-key-panelhead-] [data-testid=stMarkdownContainer],
[class*=st-key-panelhead-] [data-testid=stCaptionContainer],
[class*=st-key-panelhead-] p, [class*=st-key-panelfoot-] p,
[class*=st-key-panelfoot-] [data-testid=stCaptionContainer] {margin: 0}
[class*=st-key-panelfoot-] {margin-bottom: -0.35rem; min-height: 2rem}
[class*=st-key-panelbody-] {padding: 0.75rem}
</style>"""
