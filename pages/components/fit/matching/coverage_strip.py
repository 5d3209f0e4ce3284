"""How much of a model a file fills, as saved and repaired: two bars, and the keys by state."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from core.fit import Match
from core.plain_text import markup
from core.theme import STATE_MARKS
from core.wording import count, percent

WORDS: Mapping[str, str] = {
    "matched": "same key and shape",
    "missing": "in the model, but not in the file",
    "unexpected": "in the file, but not in the model",
    "mismatched": "same key, different shape or layout",
    "benign": "not in the file; the model computes them or does without them",
}

STATES = ("matched", "missing", "unexpected", "mismatched")


def coverage_strip(before: Match, after: Match, *, repaired: bool, loaded: bool = False) -> None:
    """Draw the strip. `before` is the match as saved, `after` that with the recipe, which changes
    something if `repaired`. Of a loaded model only what it has is drawn."""
    one = loaded or not repaired
    name = "Coverage" if loaded else "Repaired" if repaired else "As saved"
    shown = {name: after} if one else {"As saved": before, "Repaired": after}
    was, now = _counts(before), _counts(after)
    states = [*STATES, *(["benign"] if now["benign"] else [])]
    counts = "".join(
        _count(state, now[state] if one else was[state], now[state]) for state in states
    )
    st.html(
        f'{BAR_STYLE}{STYLE}<div class="fit-strip">'
        f'<div class="bars">{_bars(shown)}{_parameters(after)}</div>'
        f'<div class="counts">{counts}</div></div>'
    )


def cover_bars(matches: Mapping[str, Match]) -> None:
    """Draw a bar for each match under its name."""
    st.html(f"{BAR_STYLE}{_bars(matches)}")


def _bars(matches: Mapping[str, Match]) -> str:
    """The bars, with one decimal where two different shares would otherwise read the same."""
    shares = {match.coverage_keys for match in matches.values()}
    decimal = len({percent(share) for share in shares}) < len(shares)
    return "".join(_bar(name, match, decimal=decimal) for name, match in matches.items())


def _bar(name: str, match: Match, *, decimal: bool) -> str:
    """The share of the model's keys that match."""
    share = match.coverage_keys
    covers = "whole" if share == 1 else "part" if share else "none"
    matched = f"{count(len(match.matched))} of {count(match.total)} keys match"
    words = percent(share, decimal=decimal)
    return (
        f'<div class="loupe-cover {covers}" role="img" aria-label="{markup(name)}: '
        f'{words}, {matched}" title="{matched}"><span>{markup(name)}</span>'
        f'<i><u style="width:{100 * share:.3f}%"></u></i><strong>{words}</strong></div>'
    )


def _parameters(match: Match) -> str:
    """The share of the parameters, which says more than that of the keys where a part is there."""
    share = match.coverage_parameters
    if share in {0.0, 1.0}:
        return ""
    return f"<small><b>{percent(share)}</b> of the model’s parameters</small>"


def _counts(match: Match) -> Mapping[str, int]:
    return {
        "matched": len(match.matched),
        "missing": len(match.missing_keys),
        "unexpected": len(match.unexpected_keys),
        "mismatched": len(match.mismatched),
        "benign": len(match.benign),
    }


def _count(state: str, was: int, now: int) -> str:
    """The number of keys in a state, before and after; a zero is grey."""
    first = ""
    if was != now:
        first = f'<em class="{_look(was)}">{count(was)}</em><em class="zero">→</em>'
    return (
        f'<div class="{markup(state)}" title="{markup(WORDS[state])}"><b>'
        f'<span aria-hidden="true" class="{_look(was + now)}">{markup(STATE_MARKS[state].sign)}'
        f'</span> {first}<span class="{_look(now)}">{count(now)}</span></b>'
        f"<small>{markup(state)}</small></div>"
    )


def _look(number: int) -> str:
    return "some" if number else "zero"


BAR_STYLE = """<style>
.loupe-cover {display: grid; grid-template-columns: 5rem 1fr 4.9rem; gap: 0.85rem;
  align-items: center; color: var(--loupe-muted)}
.loupe-cover i {height: 9px; border-radius: 5px; background: var(--loupe-line); overflow: hidden}
.loupe-cover u {display: block; height: 100%; background: var(--loupe-fits)}
.loupe-cover strong {font-size: 1.43rem; line-height: 1.3; font-weight: 650;
  font-variant-numeric: tabular-nums; white-space: nowrap}
.loupe-cover.whole strong {color: var(--loupe-fresh)}
.loupe-cover.part strong {color: var(--loupe-changed)}
.loupe-cover.none strong {color: var(--loupe-gone)}
</style>"""

STATE_COLOURS = "".join(
    f".fit-strip .{state} .some {{color: {STATE_MARKS[state].colour}}}\n" for state in WORDS
)

STYLE = (
    f"<style>{STATE_COLOURS}"
    """
.fit-strip {display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0.75rem 1.75rem;
  align-items: center; padding: 0.85rem 1rem; border: 1px solid var(--loupe-line);
  border-radius: 8px}
.fit-strip .bars {display: grid; gap: 0.35rem; min-width: 0}
.fit-strip small {font-size: 0.9rem; color: var(--loupe-muted)}
.fit-strip .bars small b {font-weight: 600; color: var(--loupe-text)}
.fit-strip .counts {display: flex; gap: 0.5rem 1.4rem}
.fit-strip .counts div {white-space: nowrap}
.fit-strip .counts b {display: block; font-size: 1.43rem; line-height: 1.3; font-weight: 650;
  font-variant-numeric: tabular-nums}
.fit-strip .counts .zero {color: var(--loupe-muted)}
.fit-strip em {font-style: normal; font-weight: 550}
.fit-strip em + em {margin: 0 0.15em}
@media (max-width: 1180px) {.fit-strip {grid-template-columns: minmax(0, 1fr)}}
@media (max-width: 640px) {.fit-strip .counts {display: grid;
  grid-template-columns: repeat(2, 1fr)}}
</style>"""
)
