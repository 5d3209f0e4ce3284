"""The pairs that a person may want to look at, as rows of a table with a tick each."""

from __future__ import annotations

from dataclasses import dataclass

from core.compare.comparison import Choices, Pair, PairedBy, Pairing
from core.compare.pairing.choices import accept, forget, reject


@dataclass(frozen=True, slots=True)
class Decision:
    """A pair that is not simply one name in both files: `taken` says whether it stands in a row.

    `view_a` and `view_b` are as in Pair; `by` is empty for a pair that was rejected.
    """

    key_a: str
    key_b: str
    taken: bool
    by: str
    confidence: float
    why: str
    view_a: str = ""
    view_b: str = ""


def decisions(pairing: Pairing, choices: Choices) -> tuple[Decision, ...]:
    """What was paired by content, likeness or hand, then what is proposed, then what was rejected;
    in each the least certain first."""
    taken = [
        _decision(one, taken=True)
        for one in pairing.pairs
        if one.by not in (PairedBy.NAME, PairedBy.PREFIX) or one.view_a or one.view_b
    ]
    proposed = [_decision(one, taken=False) for one in pairing.proposals]
    rejected = [
        Decision(key_a, key_b, False, "", 0.0, "you set them apart")
        for key_a, key_b in choices.rejected
    ]
    return (
        *sorted(taken, key=lambda one: one.confidence),
        *sorted(proposed, key=lambda one: -one.confidence),
        *rejected,
    )


def _decision(one: Pair, *, taken: bool) -> Decision:
    return Decision(
        one.a.key, one.b.key, taken, str(one.by), one.confidence, one.why, one.view_a, one.view_b
    )


def decide(choices: Choices, decision: Decision, *, taken: bool) -> Choices:
    """The choices after a tick was set or taken away; one that is set again where somebody took it
    away leaves the pair to what is known of it."""
    if not taken:
        return reject(choices, decision.key_a, decision.key_b)
    change = accept if decision.by else forget
    return change(choices, decision.key_a, decision.key_b)
