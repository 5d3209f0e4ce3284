"""What an alignment says: which tensor of a file goes where, how sure that is, and why."""

from __future__ import annotations

from dataclasses import dataclass

from core.fixes import Recipe


@dataclass(frozen=True, slots=True)
class AlignedPair:
    """A key of the file and the key that the architecture wants for it.

    Several pairs with one `wanted` are the parts of a fused tensor in their order; several with one
    `key` are the parts that it is to be cut into. `confidence` is 0 to 1. `ambiguous`: another pair
    would be as likely, since shapes repeat there and the names do not tell them apart. `transposed`
    and `reshaped` say what must be done to its shape.
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
    """The pairs in the architecture's order, and what is left on either side.

    `left` are the file's keys without a place, `missing` the wanted keys without a tensor.
    `confidence` is 0 to 1: the pairs' own, by their share of the architecture's elements.
    """

    pairs: tuple[AlignedPair, ...]
    left: tuple[str, ...]
    missing: tuple[str, ...]
    recipe: Recipe
    confidence: float
    sentence: str

    @property
    def ambiguous(self) -> tuple[AlignedPair, ...]:
        """The pairs that a person should look at."""
        return tuple(pair for pair in self.pairs if pair.ambiguous)
