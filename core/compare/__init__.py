"""Checkpoint A against checkpoint B: which tensors belong together, and what changed.

Two StateDicts go in; a Comparison comes out. Each of its Rows has a pair of entries or a single
one, its state (same, changed, renamed, reshaped, recast, only in A, only in B), and the evidence
for it. `numbers` measures the values, `verdict` describes the whole in a sentence, `metadata`
compares what is not a tensor, `run` compares the checkpoints of one training run, and `texts` and
`report` write the results. This package imports no torch; measuring does.
"""

from core.compare.change_shares import ChangeShares, change_shares
from core.compare.comparison import (
    EVIDENCE,
    NO_CHOICES,
    Choices,
    Comparison,
    PairedBy,
    Pairing,
    Row,
    State,
)
from core.compare.damage import with_damage
from core.compare.depth import Block, DepthLines, PartMap, blocks, depth_lines, part_map
from core.compare.measurability import (
    BY_ITSELF,
    READ_BY_ITSELF,
    bytes_to_measure,
    comparable,
    is_read_by_itself,
    measurable,
)
from core.compare.numbers_cache import NumbersCache
from core.compare.rows import bytes_to_read, compare
from core.compare.same_weights import alike
from core.compare.sides import NOTHING, Side, is_nothing, side
from core.compare.tensor_numbers import ALLCLOSE, Numbers, Tolerance

__all__ = [
    "ALLCLOSE",
    "BY_ITSELF",
    "EVIDENCE",
    "NOTHING",
    "NO_CHOICES",
    "READ_BY_ITSELF",
    "Block",
    "ChangeShares",
    "Choices",
    "Comparison",
    "DepthLines",
    "Numbers",
    "NumbersCache",
    "PairedBy",
    "Pairing",
    "PartMap",
    "Row",
    "Side",
    "State",
    "Tolerance",
    "alike",
    "blocks",
    "bytes_to_measure",
    "bytes_to_read",
    "change_shares",
    "comparable",
    "compare",
    "depth_lines",
    "is_nothing",
    "is_read_by_itself",
    "measurable",
    "part_map",
    "side",
    "with_damage",
]
