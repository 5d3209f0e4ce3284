"""Which architecture a state_dict is for, with the options and the recipe that make it fit."""

from core.identify.hints import hints_of
from core.identify.identify import identify
from core.identify.lookup import Lookup
from core.identify.words import NO_HINTS, Candidate, Hints, Identification

__all__ = [
    "NO_HINTS",
    "Candidate",
    "Hints",
    "Identification",
    "Lookup",
    "hints_of",
    "identify",
]
