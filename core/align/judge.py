"""How sure a pair of layers is, and whether another would do as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from core.align.evidence import at_home, learned, same_direction
from core.align.units import Unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SURE = 0.5
"""How much better than any other a pair must be for words to be learned from it."""

AWAY = 0.6
"""How much less a layer may be in modules that are each other's than it could be; and how much more
two pairs are so than the other way round where that tells them apart."""

TELLS = 0.05
"""The least difference in names that tells two pairs apart."""

TOLD = 0.3
"""How alike names must be to be told as a reason."""

BESIDE = 0.8
"""From where on two layers are in modules that are each other's."""

MOST = 0.99
"""The most confidence; no tensor is read."""

DOUBTFUL = 0.5
"""The most confidence of a pair where another would be as likely."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer of the file (its index) in the place of one of the architecture's."""

    row: int
    column: int
    confidence: float
    ambiguous: bool
    why: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for each pair: its place in the order, names, learned words, modules around."""

    order: Floats
    names: Floats
    learned: Floats
    home: Floats
    shuffled: bool

    def named(self, pair: tuple[int, int]) -> float:
        """What the names say."""
        return float(self.names[pair] + self.learned[pair])

    def is_as_good(self, pair: tuple[int, int], other: tuple[int, int]) -> bool:
        """Whether the other pair would be as likely."""
        return (
            float(self.order[other]) > float(self.order[pair]) - TELLS
            and self.named(other) > self.named(pair) - TELLS
            and float(self.home[other]) > float(self.home[pair]) - TELLS
        )


def judged(
    a: Sequence[Unit],
    b: Sequence[Unit],
    groups: Sequence[tuple[list[int], list[int]]],
    chosen: Sequence[tuple[int, int]],
    evidence: Evidence,
) -> list[Placed]:
    """The chosen pairs with their confidence.

    Words that were learned from a pair cannot speak for it: what is told apart without them teaches
    them anew, and the rest is looked at again.
    """
    import numpy as np

    partner = dict(chosen)
    nothing = np.zeros_like(evidence.learned)
    found = replace(evidence, learned=nothing, home=nothing)
    for _ in range(2):
        doubtful = _doubtful(a, b, groups, partner, found)
        told = [pair for pair in chosen if pair[0] not in doubtful]
        found = replace(evidence, learned=learned(a, b, told), home=at_home(a, b, told))
    doubtful = _doubtful(a, b, groups, partner, found)
    share = len(chosen) / max(min(len(a), len(b)), 1)
    placed = []
    for rows, columns in groups:
        best = evidence.home[np.ix_(rows, columns)].max(1).tolist()
        alone = len(rows) == len(columns) == 1
        for row, most in zip(rows, best, strict=True):
            if row in partner:
                pair = row, partner[row]
                away = most - float(evidence.home[pair]) > AWAY
                ambiguous = away or row in doubtful
                placed.append(_placed(pair, found, alone=alone, ambiguous=ambiguous, share=share))
    return placed


def _doubtful(
    a: Sequence[Unit],
    b: Sequence[Unit],
    groups: Sequence[tuple[list[int], list[int]]],
    partner: Mapping[int, int],
    evidence: Evidence,
) -> set[int]:
    """The layers of the file that could as well go with another, or another with their place."""
    filled = set(partner.values())
    kinds = [hash(unit.kind) for unit in a], [hash(unit.kind) for unit in b]
    found: set[int] = set()
    for rows, columns in groups:
        mine = [(row, partner[row]) for row in rows if row in partner]
        for one, other in pairwise(mine):
            if not _tells(a, b, one, other, evidence, kinds):
                found.update((one[0], other[0]))
        spare = [row for row in rows if row not in partner]
        free = [column for column in columns if column not in filled]
        for pair in mine:
            rivals = [*((row, pair[1]) for row in spare), *((pair[0], column) for column in free)]
            if any(evidence.is_as_good(pair, other) for other in rivals):
                found.add(pair[0])
    return found


def _placed(
    pair: tuple[int, int], evidence: Evidence, *, alone: bool, ambiguous: bool, share: float
) -> Placed:
    """The pair with its confidence: what is certain by shape and order first, then by names.

    `share` is how many layers found a place, of those of the side that has fewer.
    """
    in_order = not evidence.shuffled and evidence.order[pair] > -SURE
    alike, learned_words = float(evidence.names[pair]), float(evidence.learned[pair])
    beside = float(evidence.home[pair]) >= BESIDE
    named = min(1.0, max(alike, learned_words))
    if alone or in_order:
        confidence = (0.95 if alone else 0.9) + 0.09 * named
    else:
        confidence = (0.8 if beside else 0.6) + 0.15 * named
    if ambiguous:
        confidence = min(confidence, DOUBTFUL)
    confidence = min(MOST, confidence) * (0.4 + 0.6 * share)
    why = [
        "same shape",
        *(["which no other layer has"] if alone else []),
        *(["same place in the order"] if in_order else []),
        *(["in the same module"] if beside and not in_order else []),
        *(["words in common"] if alike >= TOLD else []),
        *(["named as others are"] if learned_words >= TOLD else []),
    ]
    if ambiguous:
        why.append("and another would do as well")
    return Placed(*pair, round(confidence, 3), ambiguous, ", ".join(why))


def _tells(
    a: Sequence[Unit],
    b: Sequence[Unit],
    one: tuple[int, int],
    other: tuple[int, int],
    evidence: Evidence,
    kinds: tuple[Sequence[int], Sequence[int]],
) -> bool:
    """Whether something says that the two pairs are not the other way round."""
    straight = evidence.named(one) + evidence.named(other)
    crossed = evidence.named((one[0], other[1])) + evidence.named((other[0], one[1]))
    if straight > crossed + TELLS:
        return True
    straight_home = float(evidence.home[one] + evidence.home[other])
    crossed_home = float(evidence.home[one[0], other[1]] + evidence.home[other[0], one[1]])
    if straight_home > crossed_home + AWAY:
        return True
    if same_direction(a[one[0]], a[other[0]], b[one[1]], b[other[1]]):
        return True
    return not evidence.shuffled and not all(
        _repeats(side, kinds[at], *sorted((one[at], other[at]))) for at, side in enumerate((a, b))
    )


def _repeats(side: Sequence[Unit], kinds: Sequence[int], start: int, stop: int) -> bool:
    """Whether what stands from the one to the other stands there twice in a row. What has no matrix
    goes with the matrix right before it, as a norm with its convolution."""
    length = stop - start
    ahead = kinds[start:stop] == kinds[stop : stop + length]
    back = kinds[max(start - length + 1, 0) : start + 1] == kinds[start + 1 : stop + 1]
    if start and side[start - 1].is_matrix and not side[start].is_matrix:
        return back
    return ahead or back
