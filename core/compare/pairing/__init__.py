"""Which tensor of A corresponds to which of B, by name, content, shape and values.

Two StateDicts and a person's Choices go in; a Pairing comes out, with the evidence for each pair.
The steps run one after another (names, equal content, transposed matrices, fused layers, likeness,
heads), each only on the tensors that the steps before left unpaired.
"""

from core.compare.pairing.choices import accept, choices_from_json, choices_to_json, swapped
from core.compare.pairing.decision import Decision, decide, decisions
from core.compare.pairing.key_kinds import distinct_keys
from core.compare.pairing.pair_entries import pair

__all__ = [
    "Decision",
    "accept",
    "choices_from_json",
    "choices_to_json",
    "decide",
    "decisions",
    "distinct_keys",
    "pair",
    "swapped",
]
