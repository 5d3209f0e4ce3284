"""An alignment: which key of a file is which of an architecture, how sure that is, and why."""

from __future__ import annotations

from dataclasses import dataclass

from core.fixes import Recipe


@dataclass(frozen=True, slots=True)
class AlignedPair:
    """A key of the file, and the architecture's key for the same tensor.

    Several pairs with one `wanted` are the parts to fuse, in order; several with one `key` are the
    parts to split it into. `confidence` is 0 to 1. `ambiguous`: another pair would be as likely,
    since shapes repeat and the names do not tell them apart. `transposed`: the tensor must be
    transposed; `reshaped`: dimensions of 1 must be added or removed.
    """

    key: str
    wanted: str
    confidence: float
    ambiguous: bool
    why: str
    transposed: bool = False
    reshaped: bool = False


@dataclass(frozen=True, slots=True)
class Alignment:
    """The pairs in the architecture's order, and in `unpaired` the file's keys without one.

    `confidence`, 0 to 1, is the mean of the pairs' confidences, weighted by the elements of the
    architecture's tensors.
    """

    pairs: tuple[AlignedPair, ...]
    unpaired: tuple[str, ...]
    recipe: Recipe
    confidence: float
    sentence: str

    @property
    def ambiguous(self) -> tuple[AlignedPair, ...]:
        """The pairs that a person should look at."""
        return tuple(pair for pair in self.pairs if pair.ambiguous)
