"""Keys and what they mean: their parts, groups, wrappers, patterns, and a vocabulary of names.

Texts go in and texts come out. A user's patterns run in a separate process with limits on its time
and memory. `vocabulary` lists what names stand for, if more than one module asks. The names of a
checkpoint's parts, which core.checkpoint needs below this floor, are ROLES in
core/checkpoint/tree/discover.py.
"""

from core.keys.assignment import STRIP, best_assignment
from core.keys.beside import names_another_part, names_beside_head, names_head, network_prefix
from core.keys.dotless import batch_norm_scales, dotted, folded_scales, is_caffe2
from core.keys.filter import filter_entries, fitting_keys
from core.keys.groups import group_keys
from core.keys.parts import (
    LEAVES,
    SYNONYMS,
    block_of,
    common_prefix,
    leaf,
    natural_order,
    numbers_in,
    starts,
    words,
)
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
    OPPOSITES,
    OPTIMIZER_STATE,
    OUTPUT_MODULES,
    PROJECTIONS,
    STATISTICS,
    WRAPPED,
    WRAPPERS,
    WRITERS,
    copy_preference,
    follows_others,
    names_average,
    names_follower,
    names_projected_outputs,
    names_projection,
    names_slow_copy,
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
    "OPPOSITES",
    "OPTIMIZER_STATE",
    "OUTPUT_MODULES",
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
    "batch_norm_scales",
    "best_assignment",
    "block_of",
    "common_prefix",
    "copy_preference",
    "dotted",
    "filter_entries",
    "fitting_keys",
    "folded_scales",
    "follows_others",
    "found_in",
    "group_keys",
    "is_caffe2",
    "leaf",
    "names_another_part",
    "names_average",
    "names_beside_head",
    "names_follower",
    "names_head",
    "names_projected_outputs",
    "names_projection",
    "names_slow_copy",
    "natural_order",
    "network_prefix",
    "numbers_in",
    "replaced",
    "starts",
    "unwrap",
    "without_wrappers",
    "words",
]
