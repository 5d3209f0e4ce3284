"""The proposals as cards: what each does, what it gains, why, and a button that applies it."""

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
"""Cards that are shown at once; the others are in an expander."""

NAMED = 2
"""The most fixes of a proposal that its title names; of more fixes it gives the number."""


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
    if len(proposal.fixes) > NAMED:
        return f"Best repair: {count(len(proposal.fixes))} fixes"
    return plain_sentence(proposal.title)


def _gain(proposal: Proposal) -> str:
    after = f"**{count(proposal.after)}** of {count(proposal.total)} keys"
    if proposal.after > proposal.before:
        return f"{count(proposal.before)} → {after}"
    return f"prepares further fixes; {after} match"
