"""Which architecture a state_dict is for, and what makes it fit.

A StateDict and a signature go in; a Match comes out (missing_keys, unexpected_keys, mismatches) and
its summary in words. `identify` finds the architecture among all known ones by its `index`, `align`
finds which key is which where the names differ, `proposals` finds fixes and tries each.
"""

from core.fit.architecture_options import (
    classes_in,
    other_classes,
    propose_num_classes,
    with_classes,
    with_option,
)
from core.fit.fit_summary import (
    Line,
    SummarySection,
    initialised,
    obstacle,
    option_hint,
    sections,
    verdict,
)
from core.fit.key_match import Match, match

__all__ = [
    "Line",
    "Match",
    "SummarySection",
    "classes_in",
    "initialised",
    "match",
    "obstacle",
    "option_hint",
    "other_classes",
    "propose_num_classes",
    "sections",
    "verdict",
    "with_classes",
    "with_option",
]
