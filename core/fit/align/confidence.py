"""How sure a pair of layers is, and whether another pair would be as likely."""

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
"""How much better than any other a pair must score for words to be learned from it."""

AWAY = 0.6
"""The difference in `home` that counts: of a pair to the best one of its layer, which makes the
pair ambiguous, and of two pairs to the same two exchanged, which tells them apart."""

TELLS = 0.05
"""The least difference in names that tells two pairs apart."""

AGAINST = 0.3
"""How much better the names of two pairs must agree when exchanged, to put the order in doubt."""

PASSES = 4
"""How often words are learned from the pairs that are not in doubt."""

NAMED = 0.3
"""How alike names must be to be given as a reason."""

SAME_MODULE = 0.8
"""From this value of `home` on, two layers are in modules that correspond."""

MOST = 0.99
"""The highest confidence: no tensor is read, so nothing is certain."""

DOUBTFUL = 0.5
"""The highest confidence of an ambiguous pair."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A pair of layers by their indices: `row` of the file, `column` of the architecture."""

    row: int
    column: int
    confidence: float
    ambiguous: bool
    why: str


@dataclass(frozen=True, slots=True)
class AlignmentEvidence:
    """What speaks for each pair of layers, as matrices of (file's layers × architecture's layers).

    `order` is 0 or less; `names`, `learned` (words) and `home` (modules around) are 0 to about 1.
    `shuffled`: the order of the file is not the model's.
    """

    order: Floats
    names: Floats
    learned: Floats
    home: Floats
    shuffled: bool

    def named(self, pair: tuple[int, int]) -> float:
        """How well the names agree, by words in common and by learned words."""
        return float(self.names[pair] + self.learned[pair])


@dataclass(frozen=True, slots=True)
class Group:
    """The chosen pairs of one kind, and the layers of that kind without a pair.

    `spare` are the file's layers, `free` the architecture's. `counted` says for each two pairs
    whether their names count in the same direction.
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
    """The chosen pairs, each with its confidence and whether it is ambiguous."""
    import numpy as np

    # Words that were learned from a pair must not speak for it. So the first look is without
    # learned words; each next one learns them from the pairs that are not in doubt alone.
    kept = [_group(a, b, rows, columns, dict(chosen)) for rows, columns in groups]
    nothing = np.zeros_like(evidence.learned)
    fair = replace(evidence, learned=nothing, home=nothing)
    doubtful = _doubtful(a, b, kept, fair)
    for _ in range(PASSES):
        clear = [pair for pair in chosen if pair[0] not in doubtful]
        fair = replace(evidence, learned=learned(a, b, clear), home=at_home(a, b, clear))
        before, doubtful = doubtful, _doubtful(a, b, kept, fair)
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
            placed.append(_placed(pair, fair, alone=alone, ambiguous=ambiguous, share=share))
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
    """The rows of pairs for which another pair of one of the two layers would be as likely."""
    kinds = [hash(unit.kind) for unit in a], [hash(unit.kind) for unit in b]
    doubtful: set[int] = set()
    for group in groups:
        doubtful.update(_with_rivals(group, evidence))
        if evidence.shuffled:
            doubtful.update(_exchangeable(group, evidence))
            continue
        for at, (one, other) in enumerate(pairwise(group.pairs)):
            if not (group.counted[at, at + 1] or _are_distinct(a, b, one, other, evidence, kinds)):
                doubtful.update((one[0], other[0]))
    return doubtful


def _with_rivals(group: Group, evidence: AlignmentEvidence) -> set[int]:
    """The rows of pairs in which a layer without a pair would be as likely."""
    import numpy as np

    if not group.pairs or not (group.spare or group.free):
        return set()
    rows, columns = (np.array(side, int) for side in zip(*group.pairs, strict=True))
    spare, free = np.array(group.spare, int), np.array(group.free, int)
    by_row = np.ones((len(rows), len(free)), bool)
    by_column = np.ones((len(spare), len(rows)), bool)
    for side in (evidence.order, evidence.names + evidence.learned, evidence.home):
        own = side[rows, columns] - TELLS
        by_row &= side[np.ix_(rows, free)] > own[:, None]
        by_column &= side[np.ix_(spare, columns)] > own[None, :]
    return set(rows[by_row.any(1) | by_column.any(0)].tolist())


def _exchangeable(group: Group, evidence: AlignmentEvidence) -> set[int]:
    """The rows of pairs that could be exchanged with another pair, by names and modules."""
    import numpy as np

    if not group.pairs:
        return set()
    rows, columns = (np.array(side, int) for side in zip(*group.pairs, strict=True))
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
    """The pair with its confidence, by shape and order first, then by names.

    `share`, 0 to 1, is of the side with fewer layers: those that have a pair.
    """
    in_order = not evidence.shuffled and evidence.order[pair] > -SURE
    alike, learned_words = float(evidence.names[pair]), float(evidence.learned[pair])
    same_module = float(evidence.home[pair]) >= SAME_MODULE
    named = min(1.0, max(alike, learned_words))
    if alone or in_order:
        confidence = (0.95 if alone else 0.9) + 0.09 * named
    else:
        confidence = (0.8 if same_module else 0.6) + 0.15 * named
    if ambiguous:
        confidence = min(confidence, DOUBTFUL)
    confidence = min(MOST, confidence) * (0.4 + 0.6 * share)
    why = [
        "same shape",
        *(["which no other layer has"] if alone else []),
        *(["same place in the order"] if in_order else []),
        *(["in the same module"] if same_module and not in_order else []),
        *(["words in common"] if alike >= NAMED else []),
        *(["named like other pairs"] if learned_words >= NAMED else []),
    ]
    if ambiguous:
        why.append("but another would be as likely")
    return Placed(*pair, round(confidence, 3), ambiguous, ", ".join(why))


def _are_distinct(
    a: Sequence[Unit],
    b: Sequence[Unit],
    one: tuple[int, int],
    other: tuple[int, int],
    evidence: AlignmentEvidence,
    kinds: tuple[Sequence[int], Sequence[int]],
) -> bool:
    """Whether something says that the two pairs must not be exchanged."""
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
    """Whether the layers from `start` to `stop` are one of two equal runs in a row.

    A layer without a matrix belongs to the matrix right before it, as a norm to its convolution.
    """
    length = stop - start
    ahead = kinds[start:stop] == kinds[stop : stop + length]
    back = kinds[max(start - length + 1, 0) : start + 1] == kinds[start + 1 : stop + 1]
    if start and side[start - 1].is_matrix and not side[start].is_matrix:
        return back
    return ahead or back
