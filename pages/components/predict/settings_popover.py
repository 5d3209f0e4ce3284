"""The lines below the title that tell how the models are run, and what their "Change" opens."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

STYLE = """<style>
:is(.st-key-fed, .st-key-read) {display: block; line-height: 1.4}
:is(.st-key-fed, .st-key-read) > div, :is(.st-key-fed-lines, .st-key-read-lines),
:is(.st-key-fed-lines, .st-key-read-lines) :is(div, p),
:is(.st-key-fed-change, .st-key-read-change) div {display: inline; line-height: inherit}
.st-key-page-predict [data-testid=stCaptionContainer] code {padding: 0; background: none;
  font-size: 0.95em}
:is(.st-key-fed, .st-key-read) [data-testid=stPopoverButton] {display: inline; width: auto;
  min-height: 0; margin-left: 0.35rem; padding: 0; color: var(--loupe-accent)}
:is(.st-key-fed-change, .st-key-read-change) p {text-decoration: underline;
  text-underline-offset: 2px}
:is(.st-key-fed, .st-key-read) [data-testid=stPopoverButton] [data-testid=stIconMaterial] {
  display: none}
.st-key-k [role=group] {background: var(--loupe-ground);
  border: 1px solid var(--loupe-dash)}
[data-testid=stPopoverBody]:has(.st-key-fed-settings) {width: min(60rem, 94vw); max-width: none}
[data-testid=stPopoverBody]:has(.st-key-read-settings) {width: min(40rem, 94vw); max-width: none}
</style>"""
"""The popover's button is a link at the end of the line; its body has room for two models."""


LABELS = {"fed": "Change", "read": "Read otherwise"}
"""What opens the settings of each line."""


def settings_popovers(top: DeltaGenerator) -> tuple[DeltaGenerator, ...]:
    """Draw the lines below the verdict: what the models are fed, and how their outputs are read.

    Returns the place of the first line's words and that of its settings, and those of the second.
    """
    with top:
        st.html(STYLE)
        return (*_line("fed"), *_line("read"))


def _line(key: str) -> tuple[DeltaGenerator, DeltaGenerator]:
    with st.container(key=key, horizontal=True, vertical_alignment="bottom", gap="small"):
        words = st.container(key=f"{key}-lines", gap=None)
        with st.popover(LABELS[key], type="tertiary", key=f"{key}-change"):
            settings = st.container(key=f"{key}-settings")
    return words, settings
