"""What would help, a card each: what it does, what it gains, why, and a button that takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from core.fit.proposals import Proposal
from core.fixes import Recipe, RenameTable
from core.plain_text import plain_sentence
from core.recipe import with_fixes
from core.wording import count

Change = Callable[[Recipe], None]

SHOWN = 5
"""Cards that are shown at once; the others stand below a fold."""

LONG = 2
"""Fixes of a proposal that are named; of more, how many there are."""


def proposal_cards(
    key: str,
    proposals: Sequence[Proposal],
    recipe: Recipe,
    change: Change,
    pairs: Callable[[str], None],
) -> None:
    """The best proposal first; nothing is applied before somebody clicks.

    `pairs(key)` draws how the keys were found, for a proposal that renames them by a table.
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
    with st.container(border=True, gap="xsmall"):
        with st.container(
            horizontal=True,
            vertical_alignment="center",
            horizontal_alignment="distribute",
            wrap=False,
        ):
            st.markdown(f"**{_title(proposal)}**  \n{_gain(proposal)}")
            st.button(
                "Apply" if len(proposal.fixes) == 1 else "Apply all",
                key=f"{key}-proposal-{i}",
                type="primary" if i == 0 else "secondary",
                on_click=lambda fixes=proposal.fixes: change(with_fixes(recipe, fixes)),
                width="content",
            )
        if proposal.why:
            st.caption(plain_sentence(proposal.why))
        if any(isinstance(fix, RenameTable) for fix in proposal.fixes):
            pairs(f"{key}-proposal-{i}")


def _title(proposal: Proposal) -> str:
    if len(proposal.fixes) > LONG:
        return f"Best repair: {count(len(proposal.fixes))} fixes together"
    return plain_sentence(proposal.title)


def _gain(proposal: Proposal) -> str:
    after = f"**{count(proposal.after)}** of {count(proposal.total)} keys"
    if proposal.after > proposal.before:
        return f"{count(proposal.before)} → {after}"
    return f"clears the way; {after} match"
