"""What B may be beside A, as one word and one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.compare.overall_numbers import Overall


class Kind(StrEnum):
    """What B is beside A."""

    EMPTY = "no tensors"
    DISJOINT = "nothing in common"
    IDENTICAL = "identical"
    SAME_IN_COMMON = "the same in what both have"
    REARRANGED = "the same under other keys or in another arrangement"
    RECAST = "the same in another dtype"
    NUMERICALLY_SAME = "numerically the same"
    BATCH_NORM = "other BatchNorm statistics"
    QUANTIZED = "quantized"
    PRUNED = "pruned"
    SCALED = "scaled"
    ROUNDED = "rounded"
    FAKE_QUANTIZED = "rounded to a grid"
    ADAPTED = "with adapters"
    HEAD = "another head"
    FINE_TUNED = "fine-tuned in part"
    TRAINED = "trained further"
    CLOSE = "close throughout"
    AVERAGED = "an average of steps"
    FAR = "far away"
    UNRELATED = "unrelated"
    OPTIMIZER = "another state of the optimizer"
    NOT_FINITE = "NaN or infinities that A does not hold"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class ComparisonVerdict:
    """`kind` is the most important of what holds, `also` the rest, and `sentence` tells them all.

    `overall` are the numbers of all weights together; None where none was measured.
    """

    kind: Kind
    sentence: str
    also: tuple[Kind, ...] = ()
    overall: Overall | None = None


Told = tuple[Kind, str]


SAMPLE = 256
"""Elements from which a tensor's own numbers are taken for those of a distribution."""
