"""What every page has: its title, the open files, what they would have run elsewhere, and a way to
begin while no file is open."""

from __future__ import annotations

import streamlit as st

from core.checkpoint import Checkpoint
from core.errors import LoupeError
from core.inspect import danger_sentence
from core.plain_text import code, plain, plain_sentence
from core.wording import size
from pages.components.workspace import SLOTS, workspace


def page_header(title: str, lead: str) -> None:
    """Draw the title, one line on the page's purpose, and the names of the open files."""
    st.html(_STYLE)
    with st.container(
        horizontal=True,
        vertical_alignment="bottom",
        horizontal_alignment="distribute",
    ):
        with st.container(width="content", gap=None):
            st.title(plain(title), anchor=False)
            st.caption(plain(lead))
        files = [file for slot in SLOTS if (file := _file_title(slot))]
        if files:
            with st.container(width="content", key="loupe-files"):
                st.markdown(" &emsp; ".join(files))


def danger_notice(checkpoint: Checkpoint) -> None:
    """Draw what an open file would have run elsewhere; nothing if it would have run nothing."""
    sentence = danger_sentence(checkpoint)
    if sentence:
        st.error(plain_sentence(sentence), icon=":material/gpp_bad:")


_STYLE = """<style>
.st-key-loupe-files {position: fixed; top: 0.9rem; right: 9.5rem; z-index: 999991; width: auto;
  max-width: calc(100vw - 43rem)}
.st-key-loupe-files p {white-space: nowrap; overflow: hidden; text-overflow: ellipsis}
@media (max-width: 1100px) {.st-key-loupe-files {position: static; z-index: auto; max-width: 100%}
  .st-key-loupe-files p {white-space: normal}}
[data-retained="true"]:has(> .stButton) {display: none}
</style>"""
"""On a wide screen the file names are shown in the navigation bar, which does not scroll away.

The last rule hides a button as soon as a run leaves it out. Streamlit retains such a button while
it has the focus, until the next click takes the focus away. The elements below then move, and the
click misses its target.
"""


def _file_title(slot: str) -> str | None:
    """The slot's file and its size, as Markdown; None while the slot is empty."""
    if workspace().slot(slot).file is None:
        return None
    try:
        checkpoint = workspace().opened(slot)
    except LoupeError:
        return f"**{slot}** :red[cannot be read]"
    if checkpoint is None:
        return None
    return f"**{slot}** {code(checkpoint.name)} {size(checkpoint.size)}"


def empty_state(title: str, text: str) -> None:
    """Say what the page is for and offer the sample."""
    with st.container(border=True):
        st.subheader(plain(title), anchor=False)
        st.markdown(plain(text))
        with st.container(horizontal=True, vertical_alignment="center"):
            sample_button()
            st.page_link("pages/open.py", label="Open your own file", icon=":material/folder_open:")


def sample_button() -> None:
    """Draw the button that opens the bundled pair: an early epoch in A, the final one in B."""

    def open_sample() -> None:
        workspace().open("A", "sample:early")
        workspace().open("B", "sample:final")

    st.button(
        "Open the sample pair", type="primary", icon=":material/science:", on_click=open_sample
    )
