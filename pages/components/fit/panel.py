"""The panels of the page: a title with a mark, a place for actions at the right, and a body."""

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


def panel(name: str, title: str, mark: str = "") -> tuple[DeltaGenerator, DeltaGenerator]:
    """Draw an empty panel. Returns the place for actions at its right, and its body.

    `mark` is one of MARKS, `name` the panel's among those of the page.
    """
    with st.container(border=True, key=f"panel-{name}", gap=None):
        with st.container(
            key=f"head-{name}",
            horizontal=True,
            vertical_alignment="center",
            horizontal_alignment="distribute",
            wrap=False,
        ):
            st.markdown(f"**{plain(title)}**", width="content")
            tools = st.container(
                width="content", horizontal=True, vertical_alignment="center", gap="xsmall"
            )
            if mark:
                tools.markdown(MARKS[mark], width="content")
        body = st.container(key=f"body-{name}", gap="small")
    return tools, body


STYLE = """<style>
.st-key-fit-body {display: grid; grid-template-columns: 392px minmax(0, 1fr); gap: 1rem;
  grid-template-rows: auto 1fr; align-items: start}
.st-key-fit-body > * {min-width: 0; width: 100%}
.st-key-fit-body > :has(> .st-key-fit-left) {grid-row: 1 / span 2}
.st-key-fit-body > :has(> .st-key-fit-decide) {grid-column: 2}
.st-key-fit-body > :has(> .st-key-fit-right) {grid-column: 2}
.st-key-fit-body > :has(> .st-key-fit-decide:empty) {display: none}
@media (max-width: 1000px) {.st-key-fit-body {grid-template-columns: 340px minmax(0, 1fr)}}
@media (max-width: 900px) {
  .st-key-fit-body {grid-template-columns: minmax(0, 1fr); grid-template-rows: none}
  .st-key-fit-body > * {grid-column: 1 !important; grid-row: auto !important}
  .st-key-fit-body > :has(> .st-key-fit-decide) {order: -1}}
[class*=st-key-panel-] {padding: 0 !important; border-radius: 8px}
[class*=st-key-head-] {padding: 0.35rem 0.85rem; min-height: 2.9rem;
  border-bottom: 1px solid var(--loupe-line)}
[class*=st-key-head-] p {white-space: nowrap}
[class*=st-key-head-] .stMarkdownColoredText {font-size: 0.9rem; font-weight: 600}
[class*=st-key-body-] {padding: 0.75rem 0.85rem}
.st-key-fit-body [data-testid=stCaptionContainer],
.st-key-fit-body [data-testid=stCaptionContainer] p {margin-bottom: 0}
[class*=st-key-reasons] p {font-size: 0.9rem}
[class*=st-key-step-] label p {font-size: 1rem}
[class*=st-key-step-] .stPopover button > div > [aria-hidden=true] {display: none}
[class*=st-key-foot-] {margin: 0.25rem -0.85rem -0.75rem; padding: 0.2rem 0.85rem;
  width: calc(100% + 1.7rem); max-width: none; border-top: 1px solid var(--loupe-line)}
.fit-facts {display: grid; grid-template-columns: auto 1fr; gap: 0.3rem 1rem; font-size: 0.9rem}
.fit-facts span {color: var(--loupe-muted)}
.fit-facts b {font-weight: 400; text-align: right; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere}
.st-key-fit-choices {display: grid; gap: 0.75rem; align-items: stretch;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 15.5rem), 1fr))}
.st-key-fit-choices > * {width: 100%; min-width: 0; height: 100%}
.st-key-fit-choices > * > [class*=st-key-choice-] {height: 100%; padding: 0.75rem !important}
.st-key-fit-choices [class*=st-key-choice-] > [data-testid=stElementContainer]:last-child {
  margin-top: auto}
[class*=st-key-problem-]:not(:last-child) {padding-bottom: 0.6rem;
  border-bottom: 1px solid var(--loupe-line)}
[class*=st-key-problem-] button p {text-align: left}
@media (max-width: 640px) {.st-key-model > :first-child {flex: 1 1 100%}}
.st-key-fit-body [data-testid=stPopover] button {min-height: 2rem}
</style>"""
"""The page's grid: at the left what one decides, at the right what it makes of the keys. On a
narrow screen it is one column, and what needs a decision comes first."""
