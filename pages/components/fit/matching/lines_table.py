"""Groups of keys without a state, such as those that keep their initial values."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.fit import Line
from core.plain_text import MAX_LENGTH, markup, visible
from core.wording import count

MAX_LINES = 300
MAX_KEYS = 400
"""The most lines that a section shows and the most keys that a line shows, so that 20,000 keys
are drawn quickly."""


def lines_table(lines: Sequence[Line]) -> None:
    """Draw the groups, each with its keys where somebody opens it."""
    st.html(f'{STYLE}<div class="fit-diff">{_lines(lines)}</div>')


def _lines(lines: Sequence[Line]) -> str:
    more = len(lines) - MAX_LINES
    rest = f'<div class="line note">… and {count(more)} more lines</div>' if more > 0 else ""
    return "".join(map(_line, lines[:MAX_LINES])) + rest


def _line(line: Line) -> str:
    if len(line.keys) == 1:
        return f'<div class="line">{_row(line.title, line.notes[0])}</div>'
    keys = [visible(key) for key in line.keys[:MAX_KEYS]]
    width = max(map(len, keys))
    rows = [
        markup(f"{key:{width}}  {note}", 2 * MAX_LENGTH)
        for key, note in zip(keys, line.notes, strict=False)
    ]
    more = len(line.keys) - MAX_KEYS
    if more > 0:
        rows.append(f"… and {count(more)} more keys")
    listed = "\n".join(rows)
    return (
        f"<details><summary>{_row(line.title, f'{count(len(line.keys))} keys')}</summary>"
        f"<pre>{listed}</pre></details>"
    )


def _row(name: str, note: str) -> str:
    return (
        f'<div class="row"><code>{markup(name)}</code>'
        f'<span class="note">{markup(note)}</span></div>'
    )


STYLE = """<style>
.fit-diff {font-size: 0.9rem}
.fit-diff summary {cursor: pointer; list-style-position: outside; margin-left: 1rem}
.fit-diff summary, .fit-diff .line {padding: 0.28rem 0;
  border-bottom: 1px solid var(--loupe-line)}
.fit-diff .line {margin-left: 1rem}
.fit-diff .row {display: flex; flex-wrap: wrap; gap: 0 1rem; justify-content: space-between}
.fit-diff code {background: none; color: inherit; padding: 0; overflow-wrap: anywhere;
  font-size: 0.85em}
.fit-diff .note {color: var(--loupe-muted)}
.fit-diff .row > .note {white-space: nowrap; margin-left: auto}
.fit-diff pre {background: none; border: 0; color: inherit; margin: 0 0 0 1rem;
  padding: 0.3rem 0 0.6rem 1rem; font-size: 0.85em; line-height: 1.5; overflow-x: auto}
</style>"""
