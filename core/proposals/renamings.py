"""The renamings that make most keys match."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from core.architectures.tensor_spec import Signature
from core.checkpoint.entries import StateDict
from core.match import match
from core.proposals.known_renames import known_ideas
from core.proposals.prefixes import prefix_ideas
from core.proposals.tried import matched_after, names_after
from core.proposals.twins import twin_ideas
from core.proposals.words import Idea

MAX_SHOWN = 4
"""Renamings that are proposed at once."""


def best_renamings(state_dict: StateDict, signature: Signature) -> list[Idea]:
    """Renamings by the keys that match after them; of two alike the one thought of first.

    Empty where none gains more than an accident would.
    """
    before = len(match(state_dict, signature).matched)
    seen: dict[frozenset[str], Idea] = {}
    for idea in _ideas(state_dict, signature):
        names = names_after(idea.fixes, state_dict.keys())
        if names is None:
            continue
        matched = matched_after(names, state_dict, signature)
        if _is_worthwhile(len(matched) - before, before, len(signature), idea.known):
            seen.setdefault(matched, idea)
    ranked = sorted(seen.items(), key=lambda found: -len(found[0]))
    if not ranked:
        return []
    enough = before + (len(ranked[0][0]) - before) / 2
    return [idea for matched, idea in ranked if len(matched) >= enough][:MAX_SHOWN]


def _ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """The sets of a file that has several first, then the simple ones."""
    yield from chain(
        twin_ideas(state_dict, signature),
        prefix_ideas(state_dict, signature),
        known_ideas(state_dict, signature),
    )


def _is_worthwhile(gain: int, before: int, total: int, known: bool) -> bool:
    """A gain that is no accident: a twentieth of all keys, or half of those that lack; for names
    that are known a hundredth."""
    if gain <= 0:
        return False
    return (100 if known else 20) * gain >= total or 2 * gain >= total - before
