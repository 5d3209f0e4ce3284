"""Which tensor of A is which of B, by name, content, shape and values.

Two StateDicts go in; a Pairing comes out with the evidence for each pair, and with the user's
Choices obeyed. Heads, fused layers, transposed matrices and renamed keys are found one after the
other, each only among what the ones before left over.
"""

from core.compare.pairing.choices import accept, choices_from_json, choices_to_json, swapped
from core.compare.pairing.decision import Decision, decide, decisions
from core.compare.pairing.pair_entries import pair

__all__ = [
    "Decision",
    "accept",
    "choices_from_json",
    "choices_to_json",
    "decide",
    "decisions",
    "pair",
    "swapped",
]
