"""Which architecture a state_dict is for, with the options and the recipe that make it fit.

`identify` takes a StateDict, a Lookup in the index, and Hints: names that the file states. It
returns an Identification: the candidates, the best first, each with its evidence, and a sentence
that says whether the best one is known to fit.
"""

from core.fit.identify.candidates import identify
from core.fit.identify.equivalents import UNEXPLAINED, other_arithmetic, relation_words
from core.fit.identify.hints import hinted_at, hints_of, remarks
from core.fit.identify.identification import Candidate, Hints, Identification
from core.fit.identify.sentences import (
    architecture_words,
    changed_numbers,
    headline,
    recipe_words,
)

__all__ = [
    "UNEXPLAINED",
    "Candidate",
    "Hints",
    "Identification",
    "architecture_words",
    "changed_numbers",
    "headline",
    "hinted_at",
    "hints_of",
    "identify",
    "other_arithmetic",
    "recipe_words",
    "relation_words",
    "remarks",
]
