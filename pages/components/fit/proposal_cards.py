"""The proposals as cards: what each does, what it gains, why, and a button that applies it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from core.fit.proposals import Proposal
from core.fixes import Recipe, RenameTable
from core.plain_text import plain_sentence
from core.recipe import with_fixes
from core.wording import count, counted

Change = Callable[[Recipe], None]

SHOWN = 3
"""Cards that are shown at once; the others are in an expander."""


def proposal_cards(
    key: str,
    proposals: Sequence[Proposal],
    recipe: Recipe,
    change: Change,
    pairs: Callable[[str], None],
) -> None:
    """Draw a card per proposal, the best first. Nothing is applied before somebody clicks.

    `change` is called with the new recipe. `pairs(key)` draws how the keys were aligned, for a
    proposal that renames them by a table.
    """
    for i, proposal in enumerate(proposals[:SHOWN]):
        _card(key, i, proposal, recipe, change, pairs)
    if len(proposals) > SHOWN:
        with st.expander(f"{count(len(proposals) - SHOWN)} more proposals"):
            for i, proposal in enumerate(proposals[SHOWN:], SHOWN):
                _card(key, i, proposal, recipe, change, pairs)


def _card(
    key: str,
    i: int,
    proposal: Proposal,
    recipe: Recipe,
    change: Change,
    pairs: Callable[[str], None],
) -> None:
    with st.container(key=f"proposal-{i:d}", gap="xsmall"):
        with st.container(
            horizontal=True,
            vertical_alignment="center",
            horizontal_alignment="distribute",
            wrap=False,
        ):
            st.markdown(f"**{plain_sentence(proposal.short_title)}**  \n{_gain(proposal)}")
            st.button(
                "Apply" if len(proposal.fixes) == 1 else "Apply all",
                key=f"{key}-proposal-{i}",
                on_click=lambda fixes=proposal.fixes: change(with_fixes(recipe, fixes)),
                width="content",
            )
        if proposal.why:
            st.caption(plain_sentence(proposal.why))
        if any(isinstance(fix, RenameTable) for fix in proposal.fixes):
            pairs(f"{key}-proposal-{i}")


def _gain(proposal: Proposal) -> str:
    after = f"**{count(proposal.after)}** of {count(proposal.total)} keys"
    if proposal.after > proposal.before:
        return f"{count(proposal.before)} → {after}"
    left = proposal.left.mismatched + proposal.left.missing + proposal.left.unexpected
    return f"{after} match; {counted(left, 'key')} left to decide"
