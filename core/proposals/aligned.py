"""The idea of other names altogether: which tensor is which, by order, shape and names."""

from __future__ import annotations

from collections.abc import Iterator

from core.align import align
from core.architectures.tensor_spec import Signature
from core.checkpoint.entries import StateDict
from core.match import match
from core.proposals.words import Idea, counted, listed

LEAST_CONFIDENCE = 0.5
"""Of an alignment that is proposed."""

LEAST_SHARE = 0.5
"""Of the network's keys that an alignment must find."""


def align_ideas(state_dict: StateDict, signature: Signature) -> Iterator[Idea]:
    """The alignment of the file with the network, where most of it has a place."""
    now = match(state_dict, signature)
    if not (now.missing_keys and (now.unexpected_keys or now.mismatched)):
        return
    found = align(state_dict, signature)
    fixes = tuple(step.fix for step in found.recipe.steps if step.enabled)
    placed = len({pair.wanted for pair in found.pairs})
    if not fixes or found.confidence < LEAST_CONFIDENCE or placed < LEAST_SHARE * now.total:
        return
    why = (
        f"{counted(placed, 'key')} of the network are found under other names, by the order of the "
        f"layers, their shapes and their names ({found.confidence:.0%} sure)."
    )
    if found.ambiguous:
        why += (
            f" Look at {listed([pair.key for pair in found.ambiguous])}: "
            "another place would be as likely."
        )
    yield Idea(fixes, why, aligned=True, sure=found.confidence)
