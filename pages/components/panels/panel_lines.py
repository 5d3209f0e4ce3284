"""A list in a panel: a sign, a text such as a key with what is removed from it, and a remark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core.plain_text import markup


@dataclass(frozen=True, slots=True)
class PanelLine:
    """A line of a list: a sign and its colour in CSS, a text, and what is at its right.

    `removed` and `added` are what goes from the start of the text, and what comes there.
    """

    sign: str
    colour: str
    text: str
    right: str = ""
    removed: str = ""
    added: str = ""


def draw_lines(lines: Sequence[PanelLine]) -> None:
    """Draw the lines over the whole width of a panel."""
    rows = "".join(
        f'<div><b style="color:{markup(line.colour)}">{markup(line.sign)}</b>'
        f"<code>{_change('del', line.removed)}{_change('ins', line.added)}{markup(line.text)}"
        f"</code><span>{markup(line.right)}</span></div>"
        for line in lines
    )
    st.html(f'{_STYLE}<div class="loupe-lines">{rows}</div>')


def _change(tag: str, text: str) -> str:
    return f"<{markup(tag)}>{markup(text)}</{markup(tag)}>" if text else ""


_STYLE = """<style>
.loupe-lines {margin: 0 -0.75rem; border-top: 1px solid var(--loupe-line)}
[class*=st-key-panelbody-] > div:first-child .loupe-lines:first-child {margin-top: -0.75rem;
  border-top: none}
.loupe-lines > div {display: flex; align-items: baseline; gap: 0.9rem; padding: 0.22rem 0.75rem;
  border-bottom: 1px solid var(--loupe-line)}
.loupe-lines > div > b {flex: none; width: 1rem; text-align: center; font-weight: 700;
  font-family: "JetBrains Mono", ui-monospace, monospace; font-size: 0.9rem}
.loupe-lines code {font-family: "JetBrains Mono", ui-monospace, monospace; flex: 1;
  background: none; color: inherit; padding: 0; font-size: 0.9rem;
  overflow-wrap: anywhere; min-width: 0}
.loupe-lines span {flex: none; max-width: 55%; text-align: right; font-size: 0.86rem;
  color: var(--loupe-muted); font-variant-numeric: tabular-nums}
.loupe-lines del {color: var(--loupe-gone); background: light-dark(#FBEAEA, #3A1F1F)}
.loupe-lines ins {color: var(--loupe-fresh); background: light-dark(#E5F3EA, #16301F);
  text-decoration: none}
</style>"""
