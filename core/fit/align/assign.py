"""Which layer of a file is which of an architecture: the best assignment, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.fit.align.confidence import SURE, AlignmentEvidence, Placed, judged
from core.fit.align.evidence import at_home, counted_alike, learned, names_alike, order, ranks
from core.fit.align.layer_units import Kind, Unit
from core.keys import best_assignment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

LARGE = 6_250_000
"""Pairs of layers beyond which they go by their order alone."""

ROUNDS = 3
"""Times that words are learned from what is sure, and used."""

NAMES, COUNTED, HOME, EXACT = 0.8, 0.6, 4.0, 0.1
"""What names that are alike count, numbers that are the same one of as many, modules that are
each other's, and shapes that are the same with dimensions of 1; order and learned words count 1."""

SORTED = 0.3
"""What the order of names counts in a file that lost its own."""


def place(a: Sequence[Unit], b: Sequence[Unit], *, shuffled: bool) -> list[Placed]:
    """Pair layers of one kind so that all pairs together are the most likely ones.

    `shuffled`: the order of `a` says nothing.
    """
    groups = _groups(a, b)
    if not groups:  # no layer of one kind on both sides: weighing the names would take seconds
        return []
    if len(a) * len(b) > LARGE:
        return _by_order(a, b, groups)
    import numpy as np

    names = np.float32(NAMES) * names_alike(a, b) + np.float32(COUNTED) * counted_alike(a, b)
    placed_by = _ranked(a, b, groups) if shuffled else order(a, b, names)
    scores = placed_by + names + np.float32(EXACT) * _exact(a, b)
    sure = _sure(scores, groups, alone=shuffled)
    chosen: list[tuple[int, int]] = []
    words = home = np.zeros_like(names)
    for _ in range(ROUNDS):
        words = learned(a, b, sure)
        home = at_home(a, b, sure)
        total = scores + words + np.float32(HOME) * home
        found = [
            (rows[row], columns[column])
            for rows, columns in groups
            for row, column in _assigned(total[np.ix_(rows, columns)])
        ]
        if found == chosen:
            break
        chosen = found
        sure = _sure(total, groups, alone=False, among=chosen)
    return judged(a, b, groups, chosen, AlignmentEvidence(placed_by, names, words, home, shuffled))


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
