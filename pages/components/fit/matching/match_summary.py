"""The diff between a state_dict and an architecture: a bar, counts, and the table of keys."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.fit import Line, SummarySection
from core.plain_text import MAX_LENGTH, markup, visible
from core.theme import STATE_COLOURS
from core.wording import count, counted_parameters, percent

WORDS = {
    "matched": ("Matched", "same key and shape"),
    "missing": ("Missing", "in the model, but not in the file"),
    "unexpected": ("Unexpected", "in the file, but not in the model"),
    "mismatched": ("Mismatched", "same key, different shape or layout"),
    "benign": ("Benign", "not in the file; the model computes them or does without them"),
}
MAX_LINES = 300
MAX_KEYS = 400
"""The most lines that a section shows and the most keys that a line shows, so that 20,000 keys
are drawn quickly."""

STYLE = """<style>
.fit-bar{display:flex;height:14px;border-radius:7px;overflow:hidden;
  background:color-mix(in srgb,currentColor 12%,transparent)}
.fit-bar i{display:block;height:100%}
.fit-counts{display:flex;flex-wrap:wrap;gap:.25rem 1.75rem;margin-top:.6rem}
.fit-counts b{font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums}
.fit-counts span{white-space:nowrap}
.fit-dot{display:inline-block;width:.65em;height:.65em;border-radius:50%;margin-right:.45em}
.fit-diff{font-size:.9rem}
.fit-diff summary{cursor:pointer;list-style-position:outside;margin-left:1rem}
.fit-diff summary,.fit-diff .line{padding:.28rem 0;
  border-bottom:1px solid color-mix(in srgb,currentColor 14%,transparent)}
.fit-diff .line{margin-left:1rem}
.fit-diff .row{display:flex;flex-wrap:wrap;gap:0 1rem;justify-content:space-between}
.fit-diff code{background:none;color:inherit;padding:0;overflow-wrap:anywhere;font-size:.85em}
.fit-diff .note{opacity:.7}
.fit-diff .row>.note{white-space:nowrap;margin-left:auto}
.fit-diff pre{background:none;border:0;color:inherit;margin:0 0 0 1rem;padding:.3rem 0 .6rem 1rem;
  font-size:.85em;line-height:1.5;overflow-x:auto}
</style>"""


def coverage_bar(sections: Sequence[SummarySection], coverage: float) -> None:
    """Draw the model's parameters by state as one bar, and the counts of keys below it.

    `coverage` is the matched share of the parameters, from 0 to 1.
    """
    wanted = [section for section in sections if section.state != "unexpected"]
    wanted.sort(key=lambda section: section.state != "matched")
    total = sum(section.parameters for section in wanted) or 1
    pieces = "".join(
        f'<i style="width:{100 * section.parameters / total:.3f}%;'
        f'background:{STATE_COLOURS[section.state]}" '
        f'title="{markup(WORDS[section.state][0])}: '
        f'{counted_parameters(section.parameters)}"></i>'
        for section in wanted
    )
    keys = {section.state: section.keys for section in sections}
    counts = "".join(
        f"<span>{_dot(state)}<b>{count(keys.get(state, 0))}</b> "
        f"{markup(WORDS[state][0].lower())}</span>"
        for state in ("matched", "missing", "unexpected", "mismatched", "benign")
        if state != "benign" or state in keys
    )
    covered = percent(coverage, decimal=True)
    st.html(
        f'{STYLE}<div class="fit-bar" role="img" aria-label="{covered} of the parameters">'
        f'{pieces}</div><div class="fit-counts">{counts}'
        f"<span><b>{covered}</b> of the model’s parameters</span></div>"
    )


def lines_table(lines: Sequence[Line]) -> None:
    """Draw groups of keys without a state, such as those that keep their initial values."""
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


def _dot(state: str) -> str:
    return f'<i class="fit-dot" style="background:{STATE_COLOURS[state]}"></i>'
