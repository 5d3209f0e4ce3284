"""The first sentence of a comparison: what B is relative to A.

Rows and the numbers known so far go in; a kind (identical, recast, pruned, fine-tuned, ...) and at
most six sentences come out, the main one also as a headline with its evidence. A rule says only
what the rows and the numbers prove.
"""

from core.compare.verdict.besides_tensors import NOTHING_BESIDE, Beside
from core.compare.verdict.change_kinds import ComparisonVerdict, ShortVerdict
from core.compare.verdict.judgement import damage_sentence, verdict

__all__ = [
    "NOTHING_BESIDE",
    "Beside",
    "ComparisonVerdict",
    "ShortVerdict",
    "damage_sentence",
    "verdict",
]
