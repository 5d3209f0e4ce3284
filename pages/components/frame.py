"""What every page has: the verdict on top, what the files would have run elsewhere, and a way to
begin while no file is open."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.checkpoint import Checkpoint
from core.inspect import danger_sentence
from core.plain_text import plain, plain_sentence


def heading(page: str) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Draw the top of a page: the place of its verdict, and that of its tools at the right."""
    st.html(_STYLE)
    with st.container(
        key=f"page-{page}",
        horizontal=True,
        vertical_alignment="top",
        horizontal_alignment="distribute",
    ):
        verdict_place = st.container(width="stretch", gap=None)
        tools = st.container(
            width="content", horizontal=True, vertical_alignment="bottom", gap="small"
        )
    return verdict_place, tools


def page_verdict(sentence: str, *evidence: str) -> None:
    """Draw what the page finds, as its title, and the evidence in small lines below.

    Both are Loupe's own sentences, with keys in single backticks.
    """
    st.title(plain_sentence(sentence), anchor=False)
    for line in filter(None, evidence):
        st.caption(plain_sentence(line))


def danger_notice(checkpoint: Checkpoint) -> None:
    """Draw what an open file would have run elsewhere; nothing if it would have run nothing."""
    sentence = danger_sentence(checkpoint)
    if sentence:
        st.error(plain_sentence(sentence), icon=":material/gpp_bad:")


BRAND = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#3F75E6" '
    'stroke-width="2.4" stroke-linecap="round"><circle cx="10" cy="10" r="7.5"/>'
    '<path d="M15.6 15.6 21 21M7 8.4h6M7 11.6h4"/></svg>'
)
"""The brand mark; the bar's style adds the name, in the font of the page."""


_STYLE = """<style>
[data-retained="true"]:has(> .stButton) {display: none}
[class*=st-key-page-] {padding-bottom: 0.5rem}
@media (max-width: 900px) {[class*=st-key-page-] {flex-direction: column}
  [class*=st-key-page-] > * {flex: none}}
[class*=st-key-page-] h1 {padding: 0.4rem 0 0.25rem; line-height: 1.4}
[class*=st-key-page-] [data-testid=stHeading] > *,
[class*=st-key-page-] [data-testid=stCaptionContainer],
[class*=st-key-page-] [data-testid=stCaptionContainer] p {margin-bottom: 0}
[class*=st-key-page-] [data-testid=stCaptionContainer] {opacity: 1}
[class*=st-key-page-] [data-testid=stCaptionContainer] * {color: var(--loupe-muted)}
</style>"""
"""The first rule hides a button as soon as a run leaves it out. Streamlit retains such a button
while it has the focus, until the next click takes the focus away. The elements below then move, and
the click misses its target.
"""


def empty_state(text: str) -> None:
    """Say what the page is for. The sample is one click away at the top."""
    with st.container(border=True):
        st.markdown(plain(text))
        st.page_link("pages/open.py", label="Open your own file", icon=":material/folder_open:")
