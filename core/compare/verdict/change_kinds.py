"""What B may be relative to A: the kinds of change, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.compare.overall_numbers import Overall


class Kind(StrEnum):
    """What B is relative to A."""

    EMPTY = "no tensors"
    DISJOINT = "nothing in common"
    IDENTICAL = "identical"
    SAME_BY_CHECKSUM = "the same by checksum"
    SAME_IN_COMMON = "the same in what both have"
    REARRANGED = "the same under other keys or in another layout"
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
    OPTIMIZER = "another optimizer state"
    ARRAYS = "other numpy arrays"
    DAMAGED = "damaged"
    NOT_FINITE = "NaN or infinities that A does not contain"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class ShortVerdict:
    """A `title`, and the clauses of the line of `evidence` below it."""

    title: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComparisonVerdict:
    """The most important `kind`, the other kinds in `also`, and one `sentence` on all of them.

    `overall` are the numbers of all weights together; None where no weight was measured. `short` is
    the sentence as a title with its evidence, None where it is not shorter.
    """

    kind: Kind
    sentence: str
    also: tuple[Kind, ...] = ()
    overall: Overall | None = None
    short: ShortVerdict | None = None

    @property
    def headline(self) -> ShortVerdict:
        """The sentence as a title, with its evidence if that is apart from it."""
        return self.short or ShortVerdict(self.sentence)


Finding = tuple[Kind, str]
"""The result of a rule: the kind, and a sentence that ends with a period."""


SAMPLE = 256
"""Elements from which a tensor is large enough for a rule about the distribution of its values."""
