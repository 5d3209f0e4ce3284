"""Which architecture a state_dict is for, and what makes it fit.

`match` takes a StateDict and a signature, and returns a Match: missing_keys, unexpected_keys and
mismatches. `fit_of` also asks whether the tensors are those of one whole network: its Fit says what
speaks against that. `fit_verdict` puts it into words. Of the packages inside,
`identify` finds the architecture among all that the `index` knows, `align` pairs keys whose names
differ, `proposals` finds fixes and tries each of them, and `review` says what a person decides.
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
    fit_verdict,
    initialised,
    obstacle,
    option_hint,
)
from core.fit.fitness import Doubt, Fit, fit_of
from core.fit.key_match import Match, match
from core.fit.left_out_heads import LeftOutHead, left_out_heads, left_out_heads_words
from core.fit.one_module import TornLayer, torn_layers

__all__ = [
    "Doubt",
    "Fit",
    "LeftOutHead",
    "Line",
    "Match",
    "TornLayer",
    "classes_in",
    "fit_of",
    "fit_verdict",
    "initialised",
    "left_out_heads",
    "left_out_heads_words",
    "match",
    "obstacle",
    "option_hint",
    "other_classes",
    "propose_num_classes",
    "torn_layers",
    "with_classes",
    "with_option",
]
