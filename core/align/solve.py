"""Which layer of a file is which of an architecture: the best assignment, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.align.evidence import counted_alike, learned, names_alike, order, ranks
from core.align.units import Kind, Unit
from core.compare.likeness import best_assignment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

LARGE = 6_250_000
"""Pairs of layers beyond which they go by their order alone."""

ROUNDS = 3
"""Times that words are learned from what is sure, and used."""

SURE = 0.5
"""How much better than any other a pair must be for words to be learned from it."""

NAMES, LEARNED, EXACT = 0.8, 1.0, 0.1
"""What names that are alike count, learned words, and shapes that are the same with dimensions
of 1; the order counts 1."""

SORTED = 0.3
"""What the order of names counts in a file that lost its own."""

TELLS = 0.05
"""The least difference in names that tells two pairs apart."""

TOLD = 0.3
"""How alike names must be to be told as a reason."""

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
    """What speaks for each pair: its place in the order, names, learned words."""

    order: Floats
    names: Floats
    learned: Floats
    shuffled: bool

    def named(self, pair: tuple[int, int]) -> float:
        """What the names say."""
        return float(NAMES * self.names[pair] + LEARNED * self.learned[pair])

    def is_as_good(self, pair: tuple[int, int], other: tuple[int, int]) -> bool:
        """Whether the other pair would be as likely."""
        return (
            float(self.order[other]) > float(self.order[pair]) - TELLS
            and self.named(other) > self.named(pair) - TELLS
        )


def place(a: Sequence[Unit], b: Sequence[Unit], *, shuffled: bool) -> list[Placed]:
    """Pair layers of one kind so that all pairs together are the most likely ones.

    `shuffled`: the order of `a` says nothing.
    """
    groups = _groups(a, b)
    if len(a) * len(b) > LARGE:
        return _by_order(a, b, groups)
    import numpy as np

    names = names_alike(a, b)
    placed_by = _ranked(a, b, groups) if shuffled else order(a, b, names)
    scores = placed_by + np.float32(NAMES) * names
    scores += np.float32(EXACT) * _exact(a, b)
    sure = _sure(placed_by if not shuffled else scores, groups, alone=shuffled)
    chosen: list[tuple[int, int]] = []
    words = np.zeros_like(names)
    for _ in range(ROUNDS):
        words = learned(a, b, sure)
        total = scores + np.float32(LEARNED) * words
        found = [
            (rows[row], columns[column])
            for rows, columns in groups
            for row, column in _assigned(total[np.ix_(rows, columns)])
        ]
        if found == chosen:
            break
        chosen = found
        sure = _sure(total, groups, alone=False, among=chosen)
    return _judged(a, b, groups, chosen, Evidence(placed_by, names, words, shuffled))


def _groups(a: Sequence[Unit], b: Sequence[Unit]) -> list[tuple[list[int], list[int]]]:
    """The indices of the layers of one kind, on either side."""
    found: dict[Kind, tuple[list[int], list[int]]] = {}
    for side, layers in enumerate((a, b)):
        for at, unit in enumerate(layers):
            found.setdefault(unit.kind, ([], []))[side].append(at)
    return [group for group in found.values() if all(group)]


def _assigned(scores: Floats) -> list[tuple[int, int]]:
    return best_assignment(lambda start, stop: scores[start:stop], *scores.shape)


def _exact(a: Sequence[Unit], b: Sequence[Unit]) -> Floats:
    import numpy as np

    numbers = {shapes: at for at, shapes in enumerate({unit.exact for unit in (*a, *b)})}
    one, other = (np.array([numbers[unit.exact] for unit in side], int) for side in (a, b))
    same: Floats = (one[:, None] == other[None, :]).astype(np.float32)
    return same


def _ranked(
    a: Sequence[Unit], b: Sequence[Unit], groups: Sequence[tuple[list[int], list[int]]]
) -> Floats:
    """The place among the layers of a kind when the names are sorted."""
    import numpy as np

    found = np.zeros((len(a), len(b)), np.float32)
    by_name = ranks(a), ranks(b)
    for rows, columns in groups:
        one, other = (
            np.argsort(np.argsort([ranked[at] for at in side]))
            for ranked, side in zip(by_name, (rows, columns), strict=True)
        )
        found[np.ix_(rows, columns)] = SORTED / (1 + np.abs(one[:, None] - other[None, :]))
    return found


def _sure(
    scores: Floats,
    groups: Sequence[tuple[list[int], list[int]]],
    *,
    alone: bool,
    among: Sequence[tuple[int, int]] = (),
) -> list[tuple[int, int]]:
    """The pairs that are better by SURE than every other of the two; the only ones of their kind
    where `alone` asks for no others."""
    import numpy as np

    taken = set(among)
    found = []
    for rows, columns in groups:
        if len(rows) == len(columns) == 1:
            found.append((rows[0], columns[0]))
        if alone or len(rows) == len(columns) == 1:
            continue
        part = scores[np.ix_(rows, columns)]
        margin = part - np.maximum(_others(part), _others(part.T).T)
        for row, column in np.argwhere(margin >= SURE).tolist():
            pair = rows[row], columns[column]
            if not among or pair in taken:
                found.append(pair)
    return found


def _others(scores: Floats) -> Floats:
    """For each element the best other one in its row."""
    import numpy as np

    if scores.shape[1] == 1:
        return np.full_like(scores, -np.inf)
    best = scores.argmax(1)
    rows = np.arange(len(scores))
    second = scores.copy()
    second[rows, best] = -np.inf
    found = np.repeat(scores.max(1)[:, None], scores.shape[1], 1)
    found[rows, best] = second.max(1)
    return found


def _judged(
    a: Sequence[Unit],
    b: Sequence[Unit],
    groups: Sequence[tuple[list[int], list[int]]],
    chosen: Sequence[tuple[int, int]],
    evidence: Evidence,
) -> list[Placed]:
    partner = dict(chosen)
    filled = set(partner.values())
    kinds = [hash(unit.kind) for unit in a], [hash(unit.kind) for unit in b]
    share = len(chosen) / max(min(len(a), len(b)), 1)
    found = []
    for rows, columns in groups:
        mine = [row for row in rows if row in partner]
        rivals = (
            [row for row in rows if row not in partner],
            [column for column in columns if column not in filled],
        )
        alone = len(rows) == len(columns) == 1
        for at, row in enumerate(mine):
            pair = row, partner[row]
            beside = [
                (mine[near], partner[mine[near]])
                for near in (at - 1, at + 1)
                if 0 <= near < len(mine)
            ]
            ambiguous = any(
                not _tells(a, b, pair, other, evidence, kinds) for other in beside
            ) or any(
                evidence.is_as_good(pair, other)
                for other in (
                    *((one, pair[1]) for one in rivals[0]),
                    *((pair[0], one) for one in rivals[1]),
                )
            )
            found.append(_placed(pair, evidence, alone=alone, ambiguous=ambiguous, share=share))
    return found


def _placed(
    pair: tuple[int, int], evidence: Evidence, *, alone: bool, ambiguous: bool, share: float
) -> Placed:
    """The pair with its confidence: what is certain by shape and order first, then by names.

    `share` is how many layers found a place, of those of the side that has fewer.
    """
    in_order = not evidence.shuffled and evidence.order[pair] > -SURE
    alike, learned_words = float(evidence.names[pair]), float(evidence.learned[pair])
    named = min(1.0, max(alike, learned_words))
    if alone or in_order:
        confidence = (0.95 if alone else 0.9) + 0.09 * named
    else:
        confidence = 0.6 + 0.35 * named
    if ambiguous:
        confidence = min(confidence, DOUBTFUL)
    confidence = min(MOST, confidence) * (0.4 + 0.6 * share)
    why = [
        "same shape",
        *(["which no other layer has"] if alone else []),
        *(["same place in the order"] if in_order else []),
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
    if counted_alike(a[one[0]], a[other[0]], b[one[1]], b[other[1]]):
        return True
    return not evidence.shuffled and not all(
        _repeats(side, *sorted((one[at], other[at]))) for at, side in enumerate(kinds)
    )


def _repeats(kinds: Sequence[int], start: int, stop: int) -> bool:
    """Whether what stands from the one to the other stands there twice in a row."""
    length = stop - start
    ahead = kinds[stop : stop + length]
    back = kinds[max(start - length + 1, 0) : start + 1]
    return kinds[start:stop] == ahead or back == kinds[start + 1 : stop + 1]


def _by_order(
    a: Sequence[Unit], b: Sequence[Unit], groups: Sequence[tuple[list[int], list[int]]]
) -> list[Placed]:
    """The layers of each kind in their order, where both sides have as many."""
    return [
        Placed(row, column, 0.5, ambiguous=True, why="same shape and order; too many to compare")
        for rows, columns in groups
        if len(rows) == len(columns)
        for row, column in zip(rows, columns, strict=True)
    ]
