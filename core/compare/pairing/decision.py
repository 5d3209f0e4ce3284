"""The pairs that a person may want to check, as rows of a table with a checkbox each."""

from __future__ import annotations

from dataclasses import dataclass

from core.compare.comparison import Choices, Pair, PairedBy, Pairing
from core.compare.pairing.choices import accept, forget, reject


@dataclass(frozen=True, slots=True)
class Decision:
    """A pair whose keys are not simply equal; `paired` says whether it is a row of the comparison.

    `view_a` and `view_b` are as in Pair. `by` is empty for a pair that was rejected.
    """

    key_a: str
    key_b: str
    paired: bool
    by: str
    confidence: float
    why: str
    view_a: str = ""
    view_b: str = ""


def decisions(pairing: Pairing, choices: Choices) -> tuple[Decision, ...]:
    """The pairs by content, likeness or hand, the least certain first; then the proposals, the most
    certain first; then the rejected pairs."""
    paired = [
        _decision(pair, paired=True)
        for pair in pairing.pairs
        if pair.by not in (PairedBy.NAME, PairedBy.PREFIX) or pair.view_a or pair.view_b
    ]
    proposed = [_decision(pair, paired=False) for pair in pairing.proposals]
    rejected = [
        Decision(key_a, key_b, False, "", 0.0, "you separated them")
        for key_a, key_b in choices.rejected
    ]
    return (
        *sorted(paired, key=lambda pair: pair.confidence),
        *sorted(proposed, key=lambda pair: -pair.confidence),
        *rejected,
    )


def _decision(pair: Pair, *, paired: bool) -> Decision:
    return Decision(
        pair.a.key,
        pair.b.key,
        paired,
        str(pair.by),
        pair.confidence,
        pair.why,
        pair.view_a,
        pair.view_b,
    )


def decide(choices: Choices, decision: Decision, *, paired: bool) -> Choices:
    """The choices after the checkbox of a pair was set (`paired`) or cleared.

    Where the pair was rejected before, setting it removes the rejection, so that its evidence
    decides again.
    """
    if not paired:
        return reject(choices, decision.key_a, decision.key_b)
    change = accept if decision.by else forget
    return change(choices, decision.key_a, decision.key_b)
