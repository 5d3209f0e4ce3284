"""Which architecture a state_dict is for, with the options and the recipe that make it fit.

A StateDict, a Lookup in the index and what the file says of itself (Hints) go in; an Identification
comes out: candidates from the best on, each with its evidence, and a sentence that says whether the
best is known to fit.
"""

from core.fit.identify.candidates import identify
from core.fit.identify.hints import hints_of
from core.fit.identify.identification import Candidate, Identification
from core.fit.identify.sentences import architecture_words, recipe_words

__all__ = [
    "Candidate",
    "Identification",
    "architecture_words",
    "hints_of",
    "identify",
    "recipe_words",
]
