"""Weights that are one tensor in one file, and not in the other."""

from __future__ import annotations

from core.checkpoint.entries import StateDict
from core.checkpoint.tied import ties
from core.compare.words import Pairing


def tie_notes(a: StateDict, b: StateDict, pairing: Pairing) -> tuple[str, ...]:
    """A sentence for each group of keys that share one storage in A alone, or in B alone."""
    to_b = {one.a.key: one.b.key for one in pairing.pairs}
    to_a = {one.b.key: one.a.key for one in pairing.pairs}
    tied_a = {frozenset(group): group for group in ties(a)}
    tied_b = {frozenset(group): group for group in ties(b)}
    return tuple(
        _sentence(group, side, other, there)
        for groups, others, there, side, other in (
            (tied_a, tied_b, to_b, "A", "B"),
            (tied_b, tied_a, to_a, "B", "A"),
        )
        for keys, group in groups.items()
        if frozenset(there.get(key, key) for key in keys) not in others
    )


def _sentence(group: tuple[str, ...], side: str, other: str, there: dict[str, str]) -> str:
    named = ", ".join(group[:3]) + (f" and {len(group) - 3} more" if len(group) > 3 else "")
    held = sum(key in there for key in group)
    if held == len(group):
        return f"Tied in {side} only: {named} are one tensor there, and stand apart in {other}."
    if held:
        return f"Tied in {side}: {named} are one tensor, of which {other} holds {held} by name."
    return f"Tied in {side}: {named} are one tensor, and {other} has none of them."
