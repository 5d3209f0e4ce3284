"""Assigns the layers of a file to those of an architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.fit.align.confidence import SURE, AlignmentEvidence, LayerPair, judged
from core.fit.align.evidence import (
    counted_alike,
    learned,
    modules_alike,
    names_alike,
    opposed_roles,
    order,
    ranks,
    telling_words,
)
from core.fit.align.layers import Kind, Layer
from core.keys import best_assignment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

LARGE = 6_250_000
"""The most pairs of layers that are scored; beyond these, layers are paired by order alone."""

ROUNDS = 3
"""How often words are learned from the sure pairs and then used."""

NAMES, COUNTED, MODULES, EXACT = 0.8, 0.6, 4.0, 0.1
"""Weights in the score of a pair: words in common, the same position among as many layers, modules
that correspond, and shapes equal without squeezing. Order and learned words have the weight 1."""

TELLING, OPPOSED = 1.2, 100.0
"""What speaks against a pair: a word that tells layers of its kind apart is in one name alone, and
that counts more than the order does; or the names exclude one another, such as q and k."""

SORTED = 0.3
"""Weight of the order of sorted names, in a file that lost the order of its layers."""


def pair_layers(a: Sequence[Layer], b: Sequence[Layer], *, shuffled: bool) -> list[LayerPair]:
    """Pair layers of the same kind so that the pairs are the most likely ones together.

    `shuffled`: the order of `a` is not the model's, and is ignored.
    """
    groups = _groups(a, b)
    if not groups:  # No kind is on both sides: comparing all names would take seconds for nothing.
        return []
    if len(a) * len(b) > LARGE:
        return _by_order(a, b, groups)
    import numpy as np

    names = np.float32(NAMES) * names_alike(a, b) + np.float32(COUNTED) * counted_alike(a, b)
    opposed = opposed_roles(a, b)
    by_order = _ranked(a, b, groups) if shuffled else order(a, b, names, opposed)
    scores = by_order + names + np.float32(EXACT) * _exact(a, b)
    scores -= np.float32(TELLING) * telling_words(a, b, groups)
    scores[opposed] -= np.float32(OPPOSED)
    sure = _sure(scores, groups, alone=shuffled)
    chosen: list[tuple[int, int]] = []
    words = modules = np.zeros_like(names)
    # What is sure teaches what words mean; the words make more pairs sure; and so on.
    for _ in range(ROUNDS):
        words = learned(a, b, sure)
        modules = modules_alike(a, b, sure)
        total = scores + words + np.float32(MODULES) * modules
        pairs = [
            (rows[row], columns[column])
            for rows, columns in groups
            for row, column in _assigned(total[np.ix_(rows, columns)])
            if not opposed[rows[row], columns[column]]
        ]
        if pairs == chosen:
            break
        chosen = pairs
        sure = _sure(total, groups, alone=False, among=chosen)
    evidence = AlignmentEvidence(by_order, names, words, modules, opposed, shuffled)
    return judged(a, b, groups, chosen, evidence)


def _groups(a: Sequence[Layer], b: Sequence[Layer]) -> list[tuple[list[int], list[int]]]:
    """For each kind that both sides have, the indices of its layers on either side."""
    by_kind: dict[Kind, tuple[list[int], list[int]]] = {}
    for side, layers in enumerate((a, b)):
        for at, layer in enumerate(layers):
            by_kind.setdefault(layer.kind, ([], []))[side].append(at)
    return [group for group in by_kind.values() if all(group)]


def _assigned(scores: Floats) -> list[tuple[int, int]]:
    return best_assignment(lambda start, stop: scores[start:stop], *scores.shape)


def _exact(a: Sequence[Layer], b: Sequence[Layer]) -> Floats:
    """1 where two layers have equal shapes, dimensions of 1 included; else 0."""
    import numpy as np

    numbers = {shapes: at for at, shapes in enumerate({layer.exact for layer in (*a, *b)})}
    own, other = (np.array([numbers[layer.exact] for layer in side], int) for side in (a, b))
    same: Floats = (own[:, None] == other[None, :]).astype(np.float32)
    return same


def _ranked(
    a: Sequence[Layer], b: Sequence[Layer], groups: Sequence[tuple[list[int], list[int]]]
) -> Floats:
    """The score of two layers' places among their kind when names are sorted: SORTED if equal."""
    import numpy as np

    scores = np.zeros((len(a), len(b)), np.float32)
    by_name = ranks(a), ranks(b)
    for rows, columns in groups:
        own, other = (
            np.argsort(np.argsort([ranked[at] for at in side]))
            for ranked, side in zip(by_name, (rows, columns), strict=True)
        )
        scores[np.ix_(rows, columns)] = SORTED / (1 + np.abs(own[:, None] - other[None, :]))
    return scores


def _sure(
    scores: Floats,
    groups: Sequence[tuple[list[int], list[int]]],
    *,
    alone: bool,
    among: Sequence[tuple[int, int]] = (),
) -> list[tuple[int, int]]:
    """The pairs whose score is better by SURE than every other pair of the two layers.

    `alone`: only pairs that are the only ones of their kind. `among`: only these pairs.
    """
    import numpy as np

    taken = set(among)
    sure = []
    for rows, columns in groups:
        if len(rows) == len(columns) == 1:
            sure.append((rows[0], columns[0]))
        if alone or len(rows) == len(columns) == 1:
            continue
        part = scores[np.ix_(rows, columns)]
        margin = part - np.maximum(_others(part), _others(part.T).T)
        for row, column in np.argwhere(margin >= SURE).tolist():
            pair = rows[row], columns[column]
            if not among or pair in taken:
                sure.append(pair)
    return sure


def _others(scores: Floats) -> Floats:
    """For each element the maximum of the others in its row."""
    import numpy as np

    if scores.shape[1] == 1:
        return np.full_like(scores, -np.inf)
    best = scores.argmax(1)
    rows = np.arange(len(scores))
    second = scores.copy()
    second[rows, best] = -np.inf
    others = np.repeat(scores.max(1)[:, None], scores.shape[1], 1)
    others[rows, best] = second.max(1)
    return others


def _by_order(
    a: Sequence[Layer], b: Sequence[Layer], groups: Sequence[tuple[list[int], list[int]]]
) -> list[LayerPair]:
    """The layers of each kind paired in order, if both sides have equally many."""
    return [
        LayerPair(row, column, 0.5, ambiguous=True, reasons=("same order", "too many to compare"))
        for rows, columns in groups
        if len(rows) == len(columns)
        for row, column in zip(rows, columns, strict=True)
    ]
