"""Proves with numbers that a repaired state_dict is the model that a fit says it is.

`prove` takes the file's state_dict, the repaired one and the architecture. It loads the model,
compares each of its tensors with the value that the file and the recipe give, runs it on random
inputs of a fixed seed, and compares its outputs with those of the source model, if that can be
built too. It returns a Proof; `proof_sentences`, `proof_facts` and `proof_json` put it into words.
Needs torch.
"""

from core.predict.proof.outputs import TOLERANCE, OutputComparison
from core.predict.proof.proof import Proof, prove
from core.predict.proof.proof_words import proof_facts, proof_json, proof_sentences
from core.predict.proof.values import ValueCheck

__all__ = [
    "TOLERANCE",
    "OutputComparison",
    "Proof",
    "ValueCheck",
    "proof_facts",
    "proof_json",
    "proof_sentences",
    "prove",
]
