"""How sure a pair of layers is, and whether another pair would be as likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from core.fit.align.evidence import against_numbers, learned, modules_alike, same_direction
from core.fit.align.layers import Layer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Flags = NDArray[np.bool_]

SURE = 0.5
"""How much better than any other a pair must score for words to be learned from it."""

MODULE_GAP = 0.6
"""A difference in `modules` that is large enough to decide: a pair that is worse by this than the
best of its layer is ambiguous; two pairs that are better by this than the same two exchanged are
distinct."""

NAME_GAP = 0.05
"""The least difference in names that tells two pairs apart."""

SWAPPED_NAME_GAP = 0.3
"""How much better the names of two pairs must agree when exchanged, to put the order in doubt."""

PASSES = 4
"""How often words are learned from the pairs that are not in doubt."""

MIN_ALIKE = 0.3
"""How alike names must be to be given as a reason."""

SAME_MODULE = 0.8
"""From this value of `modules` on, two layers are in modules that correspond."""

ALONE, IN_ORDER, BY_NAMES = 0.95, 0.9, 0.09
"""The confidence of a pair that is the only one of its kind, and of one that is in order; and what
equal names add to it. Like the next two constants chosen by judgement, not fitted to measurements:
order counts more than names."""

IN_MODULE, ELSEWHERE, OUT_OF_ORDER_BY_NAMES = 0.8, 0.6, 0.15
"""The confidence of a pair out of order, in modules that correspond and in others; and what equal
names add to it."""

ISOLATED = 0.4
"""The factor on the confidence of a pair if no other layer has one: a file of which little is
aligned is probably for another model. It rises to 1 with the share of the layers that have one."""

MAX_CONFIDENCE = 0.99
"""The highest confidence: no tensor is read, so nothing is certain."""

DOUBTFUL = 0.5
"""The highest confidence of an ambiguous pair."""


@dataclass(frozen=True, slots=True)
class LayerPair:
    """A pair of layers by their indices: `row` of the file, `column` of the architecture.

    `reasons` are those besides the same shape.
    """

    row: int
    column: int
    confidence: float
    ambiguous: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AlignmentEvidence:
    """What speaks for each pair of layers, as matrices of (file's layers × architecture's layers).

    `order` is 0 or less; `names` (words in common), `learned` (words that translate each other) and
    `modules` (those around the layers that correspond) are 0 to about 1.
    `opposed`: the names exclude one another. `shuffled`: the order of the file is not the model's.
    """

    order: Floats
    names: Floats
    learned: Floats
    modules: Floats
    opposed: Flags
    shuffled: bool

    def named(self, pair: tuple[int, int]) -> float:
        """How well the names agree, by words in common and by learned words."""
        return float(self.names[pair] + self.learned[pair])


@dataclass(frozen=True, slots=True)
class Group:
    """The chosen pairs of one kind, and the layers of that kind without a pair.

    `spare` are the file's layers, `free` the architecture's. `counted` says for each two pairs
    whether their names count in the same direction, and `against` whether in opposite ones.
    """

    pairs: list[tuple[int, int]]
    spare: list[int]
    free: list[int]
    counted: Flags
    against: Flags


def judged(
    a: Sequence[Layer],
    b: Sequence[Layer],
    groups: Sequence[tuple[list[int], list[int]]],
    chosen: Sequence[tuple[int, int]],
    evidence: AlignmentEvidence,
) -> list[LayerPair]:
    """The chosen pairs, each with its confidence and whether it is ambiguous."""
    import numpy as np

    # Words that were learned from a pair must not speak for it. So the first look is without
    # learned words; each next one learns them from the pairs that are not in doubt alone.
    kept = [_group(a, b, rows, columns, dict(chosen)) for rows, columns in groups]
    nothing = np.zeros_like(evidence.learned)
    fair = replace(evidence, learned=nothing, modules=nothing)
    doubtful = _doubtful(a, b, kept, fair)
    for _ in range(PASSES):
        clear = [pair for pair in chosen if pair[0] not in doubtful]
        fair = replace(evidence, learned=learned(a, b, clear), modules=modules_alike(a, b, clear))
        before, doubtful = doubtful, _doubtful(a, b, kept, fair)
        if doubtful == before:
            break
    share = len(chosen) / max(min(len(a), len(b)), 1)
    pairs = []
    for (rows, columns), group in zip(groups, kept, strict=True):
        best = dict(zip(rows, evidence.modules[np.ix_(rows, columns)].max(1).tolist(), strict=True))
        alone = len(rows) == len(columns) == 1
        for pair in group.pairs:
            elsewhere = best[pair[0]] - float(evidence.modules[pair]) > MODULE_GAP
            ambiguous = elsewhere or pair[0] in doubtful
            pairs.append(_layer_pair(pair, fair, alone=alone, ambiguous=ambiguous, share=share))
    return pairs


def _group(
    a: Sequence[Layer],
    b: Sequence[Layer],
    rows: Sequence[int],
    columns: Sequence[int],
    partner: Mapping[int, int],
) -> Group:
    pairs = [(row, partner[row]) for row in rows if row in partner]
    filled = {column for _, column in pairs}
    sides = [a[row] for row, _ in pairs], [b[column] for _, column in pairs]
    return Group(
        pairs,
        [row for row in rows if row not in partner],
        [column for column in columns if column not in filled],
        same_direction(*sides),
        against_numbers(*sides),
    )


def _doubtful(
    a: Sequence[Layer], b: Sequence[Layer], groups: Sequence[Group], evidence: AlignmentEvidence
) -> set[int]:
    """The rows of pairs for which another pair of one of the two layers would be as likely."""
    kinds = [hash(layer.kind) for layer in a], [hash(layer.kind) for layer in b]
    doubtful: set[int] = set()
    for group in groups:
        doubtful.update(_with_rivals(group, evidence))
        # The order, or other words, exchange what the numbers in the names tell apart.
        doubtful.update(row for at, (row, _) in enumerate(group.pairs) if group.against[at].any())
        if evidence.shuffled:
            doubtful.update(_exchangeable(group, evidence))
            continue
        for at, (one, other) in enumerate(pairwise(group.pairs)):
            if not (group.counted[at, at + 1] or _are_distinct(a, b, one, other, evidence, kinds)):
                doubtful.update((one[0], other[0]))
    pairs = (pair for group in groups for pair in group.pairs)
    return doubtful - {row for row, column in pairs if _same_name(a[row], b[column])}


def _same_name(one: Layer, other: Layer) -> bool:
    """Whether two names are one, written with and without dots."""
    return one.path.replace("_", ".").lower() == other.path.replace("_", ".").lower()


def _with_rivals(group: Group, evidence: AlignmentEvidence) -> set[int]:
    """The rows of pairs in which a layer without a pair would be as likely."""
    import numpy as np

    if not group.pairs or not (group.spare or group.free):
        return set()
    rows, columns = (np.array(side, int) for side in zip(*group.pairs, strict=True))
    spare, free = np.array(group.spare, int), np.array(group.free, int)
    by_row = ~evidence.opposed[np.ix_(rows, free)]
    by_column = ~evidence.opposed[np.ix_(spare, columns)]
    sides = [evidence.names + evidence.learned, evidence.modules]
    if not evidence.shuffled:  # Else the order is that of the names, which says nothing.
        sides.append(evidence.order)
    for side in sides:
        own = side[rows, columns] - NAME_GAP
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
    for side in (evidence.names + evidence.learned, evidence.modules):
        part = side[np.ix_(rows, columns)]
        own = np.diagonal(part)
        lost.append(own[:, None] + own[None, :] - part - part.T)
    excluded = evidence.opposed[np.ix_(rows, columns)]
    # Where the modules speak for an exchange, names that speak against it may only be numbered so.
    alike = ((lost[0] <= NAME_GAP) & (lost[1] <= MODULE_GAP)) | (lost[1] < -MODULE_GAP)
    alike &= ~(group.counted | excluded | excluded.T)
    np.fill_diagonal(alike, val=False)
    return set(rows[alike.any(1)].tolist())


def _layer_pair(
    pair: tuple[int, int],
    evidence: AlignmentEvidence,
    *,
    alone: bool,
    ambiguous: bool,
    share: float,
) -> LayerPair:
    """The pair with its confidence, by shape and order first, then by names.

    `share` is the share of the layers that have a pair, on the side with fewer layers.
    """
    in_order = not evidence.shuffled and evidence.order[pair] > -SURE
    alike, learned_words = float(evidence.names[pair]), float(evidence.learned[pair])
    same_module = float(evidence.modules[pair]) >= SAME_MODULE
    named = min(1.0, max(alike, learned_words))
    if alone or in_order:
        confidence = (ALONE if alone else IN_ORDER) + BY_NAMES * named
    else:
        confidence = (IN_MODULE if same_module else ELSEWHERE) + OUT_OF_ORDER_BY_NAMES * named
    if ambiguous:
        confidence = min(confidence, DOUBTFUL)
    confidence = min(MAX_CONFIDENCE, confidence) * (ISOLATED + (1 - ISOLATED) * share)
    reasons = [
        *(["which no other layer has"] if alone else []),
        *(["same place in the order"] if in_order else []),
        *(["in the same module"] if same_module and not in_order else []),
        *(["words in common"] if alike >= MIN_ALIKE else []),
        *(["named like other pairs"] if learned_words >= MIN_ALIKE else []),
    ]
    if ambiguous:
        reasons.append("but another would be as likely")
    return LayerPair(*pair, round(confidence, 3), ambiguous, tuple(reasons))


def _are_distinct(
    a: Sequence[Layer],
    b: Sequence[Layer],
    one: tuple[int, int],
    other: tuple[int, int],
    evidence: AlignmentEvidence,
    kinds: tuple[Sequence[int], Sequence[int]],
) -> bool:
    """Whether something says that the two pairs must not be exchanged."""
    if evidence.opposed[one[0], other[1]] or evidence.opposed[other[0], one[1]]:
        return True
    straight = evidence.named(one) + evidence.named(other)
    crossed = evidence.named((one[0], other[1])) + evidence.named((other[0], one[1]))
    if straight > crossed + NAME_GAP:
        return True
    straight_modules = float(evidence.modules[one] + evidence.modules[other])
    crossed_modules = float(evidence.modules[one[0], other[1]] + evidence.modules[other[0], one[1]])
    if straight_modules > crossed_modules + MODULE_GAP:
        return True
    if crossed > straight + SWAPPED_NAME_GAP:
        return False
    return not all(
        _repeats(side, kinds[at], *sorted((one[at], other[at]))) for at, side in enumerate((a, b))
    )


def _repeats(side: Sequence[Layer], kinds: Sequence[int], start: int, stop: int) -> bool:
    """Whether the layers from `start` to `stop` are one of two equal runs in a row.

    A layer without a matrix belongs to the matrix right before it, as a norm to its convolution.
    """
    length = stop - start
    ahead = kinds[start:stop] == kinds[stop : stop + length]
    back = kinds[max(start - length + 1, 0) : start + 1] == kinds[start + 1 : stop + 1]
    if start and side[start - 1].is_matrix and not side[start].is_matrix:
        return back
    return ahead or back
