"""Keys and what they mean: their parts, groups, wrappers, patterns, and a vocabulary of names.

Texts go in and texts come out. A user's patterns run in a separate process with limits on its time
and memory. `vocabulary` lists what names stand for, if more than one module asks. The names of a
checkpoint's parts, which core.checkpoint needs below this floor, are ROLES in
core/checkpoint/tree/discover.py.
"""

from core.keys.assignment import STRIP, best_assignment
from core.keys.filter import filter_entries, fitting_keys
from core.keys.groups import group_keys
from core.keys.parts import LEAVES, SYNONYMS, leaf, natural_order, numbers_in, starts, words
from core.keys.patterns import (
    Patience,
    PatternError,
    ReplacementError,
    TooCostlyError,
    found_in,
    replaced,
)
from core.keys.vocabulary import (
    ATTENTION,
    BATCH_COUNTER,
    COMPUTED,
    FUSED_LAYERS,
    FUSED_PARTS,
    FUSED_WORD,
    HOLDER_WORDS,
    LAST_LAYERS,
    OPTIMIZER_STATE,
    OUTPUT_MODULES,
    PREFERRED,
    PROJECTIONS,
    STATISTICS,
    WRAPPED,
    WRAPPERS,
    WRITERS,
    names_average,
    names_follower,
    names_projection,
)
from core.keys.wrappers import MAX_KEYS, MAX_LENGTH, MAX_STARTS, Unwrapped, unwrap, without_wrappers

__all__ = [
    "ATTENTION",
    "BATCH_COUNTER",
    "COMPUTED",
    "FUSED_LAYERS",
    "FUSED_PARTS",
    "FUSED_WORD",
    "HOLDER_WORDS",
    "LAST_LAYERS",
    "LEAVES",
    "MAX_KEYS",
    "MAX_LENGTH",
    "MAX_STARTS",
    "OPTIMIZER_STATE",
    "OUTPUT_MODULES",
    "PREFERRED",
    "PROJECTIONS",
    "STATISTICS",
    "STRIP",
    "SYNONYMS",
    "WRAPPED",
    "WRAPPERS",
    "WRITERS",
    "Patience",
    "PatternError",
    "ReplacementError",
    "TooCostlyError",
    "Unwrapped",
    "best_assignment",
    "filter_entries",
    "fitting_keys",
    "found_in",
    "group_keys",
    "leaf",
    "names_average",
    "names_follower",
    "names_projection",
    "natural_order",
    "numbers_in",
    "replaced",
    "starts",
    "unwrap",
    "without_wrappers",
    "words",
]
