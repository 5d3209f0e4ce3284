"""Which architecture a state_dict is for, with the options and the recipe that make it fit."""

from core.fit.identify.candidates import identify
from core.fit.identify.hints import hints_of
from core.fit.identify.identification import NO_HINTS, Candidate, Hints, Identification
from core.fit.index.lookup import Lookup

__all__ = [
    "NO_HINTS",
    "Candidate",
    "Hints",
    "Identification",
    "Lookup",
    "hints_of",
    "identify",
]
