"""How sure a pair of layers is, and whether another would do as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from core.fit.align.evidence import at_home, learned, same_direction
from core.fit.align.layer_units import Unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Flags = NDArray[np.bool_]

SURE = 0.5
"""How much better than any other a pair must be for words to be learned from it."""

AWAY = 0.6
"""How much less a layer may be in modules that are each other's than it could be; and how much more
two pairs are so than the other way round where that tells them apart."""

TELLS = 0.05
"""The least difference in names that tells two pairs apart."""

AGAINST = 0.3
"""How much better names must go with two pairs the other way round to put the order in doubt."""

PASSES = 4
"""Times that what is told apart teaches words."""

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
class AlignmentEvidence:
    """What speaks for each pair: its place in the order, names, learned words, modules around."""

    order: Floats
    names: Floats
    learned: Floats
    home: Floats
    shuffled: bool

    def named(self, pair: tuple[int, int]) -> float:
        """What the names say."""
        return float(self.names[pair] + self.learned[pair])


@dataclass(frozen=True, slots=True)
class Group:
    """The chosen pairs of one kind, and the layers of that kind that are alone on either side.

    `counted` says for each two pairs whether their names count in the same direction.
    """

    pairs: list[tuple[int, int]]
    spare: list[int]
    free: list[int]
    counted: Flags


def judged(
    a: Sequence[Unit],
    b: Sequence[Unit],
    groups: Sequence[tuple[list[int], list[int]]],
    chosen: Sequence[tuple[int, int]],
    evidence: AlignmentEvidence,
) -> list[Placed]:
    """The chosen pairs with their confidence.

    Words that were learned from a pair cannot speak for it: what is told apart without them teaches
    them anew, and the rest is looked at again.
    """
    import numpy as np

    kept = [_group(a, b, rows, columns, dict(chosen)) for rows, columns in groups]
    nothing = np.zeros_like(evidence.learned)
    found = replace(evidence, learned=nothing, home=nothing)
    doubtful = _doubtful(a, b, kept, found)
    for _ in range(PASSES):
        told = [pair for pair in chosen if pair[0] not in doubtful]
        found = replace(evidence, learned=learned(a, b, told), home=at_home(a, b, told))
        before, doubtful = doubtful, _doubtful(a, b, kept, found)
        if doubtful == before:
            break
    share = len(chosen) / max(min(len(a), len(b)), 1)
    placed = []
    for (rows, columns), group in zip(groups, kept, strict=True):
        best = dict(zip(rows, evidence.home[np.ix_(rows, columns)].max(1).tolist(), strict=True))
        alone = len(rows) == len(columns) == 1
        for pair in group.pairs:
            away = best[pair[0]] - float(evidence.home[pair]) > AWAY
            ambiguous = away or pair[0] in doubtful
            placed.append(_placed(pair, found, alone=alone, ambiguous=ambiguous, share=share))
    return placed


def _group(
    a: Sequence[Unit],
    b: Sequence[Unit],
    rows: Sequence[int],
    columns: Sequence[int],
    partner: Mapping[int, int],
) -> Group:
    pairs = [(row, partner[row]) for row in rows if row in partner]
    filled = {column for _, column in pairs}
    return Group(
        pairs,
        [row for row in rows if row not in partner],
        [column for column in columns if column not in filled],
        same_direction([a[row] for row, _ in pairs], [b[column] for _, column in pairs]),
    )


def _doubtful(
    a: Sequence[Unit], b: Sequence[Unit], groups: Sequence[Group], evidence: AlignmentEvidence
) -> set[int]:
    """The layers of the file that could as well go with another, or another with their place."""
    kinds = [hash(unit.kind) for unit in a], [hash(unit.kind) for unit in b]
    found: set[int] = set()
    for group in groups:
        found.update(_with_rivals(group, evidence))
        if evidence.shuffled:
            found.update(_exchangeable(group, evidence))
            continue
        for at, (one, other) in enumerate(pairwise(group.pairs)):
            if not (group.counted[at, at + 1] or _tells(a, b, one, other, evidence, kinds)):
                found.update((one[0], other[0]))
    return found


def _with_rivals(group: Group, evidence: AlignmentEvidence) -> set[int]:
    """The rows of pairs in which a layer that is alone would do as well."""
    import numpy as np

    if not group.pairs or not (group.spare or group.free):
        return set()
    rows, columns = (np.array(one, int) for one in zip(*group.pairs, strict=True))
    spare, free = np.array(group.spare, int), np.array(group.free, int)
    by_row = np.ones((len(rows), len(free)), bool)
    by_column = np.ones((len(spare), len(rows)), bool)
    for side in (evidence.order, evidence.names + evidence.learned, evidence.home):
        own = side[rows, columns] - TELLS
        by_row &= side[np.ix_(rows, free)] > own[:, None]
        by_column &= side[np.ix_(spare, columns)] > own[None, :]
    return set(rows[by_row.any(1) | by_column.any(0)].tolist())


def _exchangeable(group: Group, evidence: AlignmentEvidence) -> set[int]:
    """The rows of pairs that could change places with any other, by names and modules."""
    import numpy as np

    if not group.pairs:
        return set()
    rows, columns = (np.array(one, int) for one in zip(*group.pairs, strict=True))
    lost = []
    for side in (evidence.names + evidence.learned, evidence.home):
        part = side[np.ix_(rows, columns)]
        own = np.diagonal(part)
        lost.append(own[:, None] + own[None, :] - part - part.T)
    alike = (lost[0] <= TELLS) & (lost[1] <= AWAY) & ~group.counted
    np.fill_diagonal(alike, val=False)
    return set(rows[alike.any(1)].tolist())


def _placed(
    pair: tuple[int, int],
    evidence: AlignmentEvidence,
    *,
    alone: bool,
    ambiguous: bool,
    share: float,
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
    evidence: AlignmentEvidence,
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
    if crossed > straight + AGAINST:
        return False
    return not all(
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
