"""What a person decides on a fit, in words: what is found, what to choose, what does not match.

An Identification, a Fit and Proposals go in. `proposed_headline`, `chosen_headline` and
`taken_headline` say what is found, `choices_of` sets candidates side by side, `reasons_for` says
what speaks for one, `problems_of` what does not match and which proposals help, and `key_diff` has
a row for each key.
"""

from core.fit.review.headline import (
    chosen_headline,
    keys_to_decide,
    proposed_headline,
    taken_headline,
)
from core.fit.review.key_diff import DiffGroup, KeyRow, key_diff, states_of
from core.fit.review.problems import Problem, problems_of
from core.fit.review.reasons import Reason, reasons_for
from core.fit.review.side_by_side import Choice, choices_of

__all__ = [
    "Choice",
    "DiffGroup",
    "KeyRow",
    "Problem",
    "Reason",
    "choices_of",
    "chosen_headline",
    "key_diff",
    "keys_to_decide",
    "problems_of",
    "proposed_headline",
    "reasons_for",
    "states_of",
    "taken_headline",
]
