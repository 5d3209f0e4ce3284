"""The candidates of a file that proves no architecture."""

from __future__ import annotations

import streamlit as st

from core.fit.identify import Candidate, Identification, architecture_words, relation_words
from core.plain_text import plain_sentence
from core.theme import STATE_MARKS
from core.wording import percent
from pages.components.panels.panel import panel
from pages.components.panels.panel_lines import PanelLine, draw_lines

MOST_CANDIDATES = 6
"""Candidates that are listed; Fit shows all, and chooses one."""


def candidates_panel(slot: str, identified: Identification) -> None:
    """Draw the candidates, the best one first, each with the share of its keys that match."""
    best, *others = identified.candidates
    title, mark = ("Which one is it?", "to choose") if best.fits else ("Architectures", "nearest")
    _, body = panel(f"candidates-{slot}", title, mark)
    alike = [
        PanelLine("?", STATE_MARKS["changed"].colour, other.title, relation_words(relation))
        for other, relation in zip(best.also, best.relations, strict=True)
    ]
    lines = [_line(best), *alike, *map(_line, others)]
    with body:
        draw_lines(lines[:MOST_CANDIDATES])
        st.markdown("  \n".join(f"• {plain_sentence(fact)}" for fact in best.evidence))


def _line(candidate: Candidate) -> PanelLine:
    mark = STATE_MARKS["matched" if candidate.fits else "changed"]
    share = f"{percent(candidate.coverage_keys, decimal=True)} of its keys"
    return PanelLine(mark.sign, mark.colour, architecture_words(candidate.architecture), share)
