"""The line that tells what the models are fed, and the settings that its "Change" opens."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

STYLE = """<style>
.st-key-fed {display: block; line-height: 1.4}
.st-key-fed > div, .st-key-fed-lines, .st-key-fed-lines div, .st-key-fed-lines p,
.st-key-fed-change div {display: inline; line-height: inherit}
.st-key-page-predict [data-testid=stCaptionContainer] code {padding: 0; background: none;
  font-size: 0.95em}
.st-key-fed [data-testid=stPopoverButton] {display: inline; width: auto; min-height: 0;
  margin-left: 0.35rem; padding: 0; color: var(--loupe-accent)}
.st-key-fed-change p {text-decoration: underline; text-underline-offset: 2px}
.st-key-fed [data-testid=stPopoverButton] [data-testid=stIconMaterial] {display: none}
.st-key-k [role=group] {background: var(--loupe-ground);
  border: 1px solid var(--loupe-dash)}
[data-testid=stPopoverBody]:has(.st-key-fed-settings) {width: min(60rem, 94vw); max-width: none}
</style>"""
"""The popover's button is a link at the end of the line; its body has room for two models."""


def settings_popover(top: DeltaGenerator) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Draw the line below the verdict. Returns the place of its words, and that of the settings."""
    with top:
        st.html(STYLE)
        with st.container(key="fed", horizontal=True, vertical_alignment="bottom", gap="small"):
            words = st.container(key="fed-lines", gap=None)
            with st.popover("Change", type="tertiary", key="fed-change"):
                settings = st.container(key="fed-settings")
    return words, settings
