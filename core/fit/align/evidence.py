"""What speaks for a pair of layers: their order, the words of their names, and learned words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from math import log
from typing import TYPE_CHECKING

from core.fit.align.layer_units import Unit, natural
from core.keys import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Floats = NDArray[np.float32]

NAMES_IN_ORDER = 0.25
"""What equal names add to a layer in the order's alignment, where a layer counts 1."""

DEEP = 8
"""Modules around a layer that are looked at."""

VECTORS = 0.6
"""What a layer counts that has no matrix, such as a norm."""

FORGETS = 1.0
"""The most that the order speaks against a pair: a network may list its shortcut first or last."""

ORDINALS = {
    word: number
    for number, group in enumerate(
        (("before", "pre", "first", "in", "a"), ("after", "post", "second", "b"), *"cdef")
    )
    for word in group
}
"""Words that stand for a number, as in Hugging Face's `layernorm_before` or `conv_a`; letters
further on are names, such as q, k and v."""


def order(a: Sequence[Unit], b: Sequence[Unit], names: Floats) -> Floats:
    """What each pair of layers costs: 0 where the best alignment of the two sequences can have it,
    −1 where one layer less finds its place then; −FORGETS at the least.

    The best of all alignments through a pair is the best one before it and the best one behind it
    (Hirschberg 1975); gaps cost nothing, so a row of the table is a running maximum.
    """
    import numpy as np

    kinds = {kind: number for number, kind in enumerate({unit.kind for unit in (*a, *b)})}
    rows, columns = (np.array([kinds[unit.kind] for unit in side], dtype=int) for side in (a, b))
    worth = np.array([1 if unit.is_matrix else VECTORS for unit in a], dtype=np.float32)
    gain = np.where(
        rows[:, None] == columns[None, :],
        worth[:, None] * (1 + np.float32(NAMES_IN_ORDER) * names),
        np.float32(0),
    )
    before = _table(gain)
    behind = _table(gain[::-1, ::-1])[::-1, ::-1]
    through: Floats = before[:-1, :-1] + gain + behind[1:, 1:]
    costs: Floats = np.maximum(through - before[-1, -1], np.float32(-FORGETS))
    return costs


def _table(gain: Floats) -> Floats:
    """The best alignment's worth of the first rows and columns."""
    import numpy as np

    table = np.zeros((gain.shape[0] + 1, gain.shape[1] + 1), np.float32)
    for row, one in enumerate(gain):
        found = table[row].copy()
        np.maximum(found[1:], table[row, :-1] + one, out=found[1:])
        np.maximum.accumulate(found, out=table[row + 1])
    return table


def names_alike(a: Sequence[Unit], b: Sequence[Unit]) -> Floats:
    """From 0 to 1: the words that two names share, the rare ones before the frequent; of numbers it
    is which ones of their kind they are, since some count from 1 and others leave numbers out."""
    import numpy as np

    sides = [[words(path) for path in _counted_paths(side)] for side in (a, b)]
    counts = Counter(word for side in sides for one in side for word in one)
    total = len(a) + len(b)
    columns = {word: at for at, word in enumerate(counts)}
    rare = np.array([log(1 + total / count) for count in counts.values()], dtype=np.float32)
    matrices = [_incidence(side, columns) for side in sides]
    weighted = matrices[0].multiply(rare[None, :]).tocsr()
    common = np.asarray((weighted @ matrices[1].T).todense(), dtype=np.float32)
    sums = [np.asarray(matrix @ rare) for matrix in matrices]
    alike: Floats = 2 * common / np.maximum(sums[0][:, None] + sums[1][None, :], np.float32(1e-6))
    return alike


def _counted_paths(side: Sequence[Unit]) -> list[str]:
    """The paths with each number as its rank among those that stand in its place."""
    seen: dict[tuple[str, ...], set[int]] = {}
    places: list[list[tuple[str, tuple[str, ...] | None]]] = []
    for unit in side:
        before: tuple[str, ...] = ()
        place: list[tuple[str, tuple[str, ...] | None]] = []
        steps = re.split(r"(\d{1,18})", unit.path)
        for at, step in enumerate(steps):
            number = at % 2 == 1
            if number:
                around = (*before, steps[at + 1].partition(".")[0])
                seen.setdefault(around, set()).add(int(step))
            place.append((step, around if number else None))
            before = (*before, step)
        places.append(place)
    ranked = {
        around: {number: rank for rank, number in enumerate(sorted(numbers))}
        for around, numbers in seen.items()
    }
    return [
        "".join(
            step if around is None else str(ranked[around][int(step)]) for step, around in place
        )
        for place in places
    ]


def learned(a: Sequence[Unit], b: Sequence[Unit], sure: Sequence[tuple[int, int]]) -> Floats:
    """From 0 to about 1: how far two names are translations of each other, by the sure pairs.

    A word of one side means one of the other as far as they come together: where `conv_a` always
    goes with `conv1`, it will again.
    """
    import numpy as np
    from scipy.sparse import csr_matrix, diags

    if not sure:
        return np.zeros((len(a), len(b)), np.float32)
    left, right = (_matrix([_steps(unit.path) for unit in side]) for side in (a, b))
    at, count, dice = _together(left, right, sure)
    # Once is chance; and many words come together with many others, so the square.
    worth = dice**2 * (count - 1) / count
    table = csr_matrix((worth, at), shape=(left.shape[1], right.shape[1]))
    scaled = [
        diags(1 / np.sqrt(np.maximum(np.asarray(one.sum(1)).ravel(), 1))) @ one
        for one in (left, right)
    ]
    found: Floats = np.asarray((scaled[0] @ table @ scaled[1].T).todense(), dtype=np.float32)
    return found


def at_home(a: Sequence[Unit], b: Sequence[Unit], sure: Sequence[tuple[int, int]]) -> Floats:
    """From 0 to 1: how far two layers are in modules that are each other's, by the sure pairs of
    matrices: the share of the modules around them that have a counterpart around the other."""
    import numpy as np

    telling = [pair for pair in sure if a[pair[0]].is_matrix]
    if not telling:
        return np.zeros((len(a), len(b)), np.float32)
    left, right = (_matrix(_around(side)) for side in (a, b))
    at, _, dice = _together(left, right, telling)
    table = np.zeros((left.shape[1], right.shape[1]), np.float32)
    table[at] = dice**2
    one, other = _shared(table, left, right), _shared(table.T, right, left).T
    found: Floats = np.float32(0.5) * (one + other)
    return found


def _shared(table: Floats, left: csr_matrix, right: csr_matrix) -> Floats:
    """For each two layers the mean, over the modules around the first, of the best counterpart
    around the second; the modules that hold few layers count for more."""
    import numpy as np

    best = np.zeros((len(table), right.shape[0]), np.float32)
    sizes = np.diff(right.indptr)
    for level in range(max(sizes, default=0)):
        at = right.indptr[:-1] + np.minimum(level, np.maximum(sizes - 1, 0))
        np.maximum(best, table[:, right.indices[at]], out=best)
    held = np.asarray(left.sum(0), dtype=np.float32).ravel()
    rare = (np.log(left.shape[0] / held) + 0.1).astype(np.float32)
    sums = left @ (rare[:, None] * best)
    found: Floats = (sums / (left @ rare)[:, None]).astype(np.float32)
    return found


def _together(
    left: csr_matrix, right: csr_matrix, pairs: Sequence[tuple[int, int]]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], Floats, Floats]:
    """Which words of the two sides come together in the pairs, how often, and how nearly always
    (the coefficient of Dice 1945)."""
    import numpy as np

    rows, columns = (np.array(one, dtype=int) for one in zip(*pairs, strict=True))
    one, other = left[rows], right[columns]
    counts = (one.T @ other).tocoo()
    often = [np.asarray(side.sum(0), dtype=np.float32).ravel() for side in (one, other)]
    at = counts.row, counts.col
    return at, counts.data, 2 * counts.data / (often[0][at[0]] + often[1][at[1]])


def _steps(path: str) -> list[str]:
    """The parts of a path, and its two last ones together."""
    parts = path.split(".")
    return list(dict.fromkeys([*parts, "…" + ".".join(parts[-2:])]))


def _around(side: Sequence[Unit]) -> list[list[str]]:
    """For each layer the paths of the modules that it is in, the network itself first; a parameter
    of a module that has layers too is in that module."""
    holders = {unit.path.rpartition(".")[0] for unit in side}
    found = []
    for unit in side:
        parts = unit.path.split(".")
        parts = (parts if unit.path in holders else parts[:-1])[:DEEP]
        found.append([".".join(parts[:depth]) for depth in range(len(parts) + 1)])
    return found


def _matrix(side: Sequence[Sequence[str]]) -> csr_matrix:
    vocabulary = dict.fromkeys(word for one in side for word in one)
    return _incidence(side, {word: at for at, word in enumerate(vocabulary)})


def _incidence(side: Sequence[Iterable[str]], columns: dict[str, int]) -> csr_matrix:
    import numpy as np
    from scipy.sparse import csr_matrix

    rows, found = [], []
    for row, one in enumerate(side):
        for word in one:
            rows.append(row)
            found.append(columns[word])
    ones = np.ones(len(rows), np.float32)
    return csr_matrix((ones, (rows, found)), shape=(len(side), len(columns)))


def is_sorted(keys: Sequence[tuple[str, str]]) -> bool:
    """Whether keys, each with its dtype, stand as safetensors writes them, by dtype and then by
    name (`prepare` in its tensor.rs): their order is not the network's then."""
    runs = [[key for key, _ in run] for _, run in groupby(keys, key=lambda one: one[1])]
    return len(runs) == len({dtype for _, dtype in keys}) and all(
        run == sorted(run) for run in runs
    )


def counted_alike(a: Sequence[Unit], b: Sequence[Unit]) -> Floats:
    """1 where two layers are the same one of as many that differ in their last number only:
    `blocks.0.norm2` and `layer.0.ln_b`."""
    import numpy as np

    one, other = ([*_counted(side)] for side in (a, b))
    numbers = {place: at for at, place in enumerate({*one, *other} - {(0, 1)})}
    rows, columns = (
        np.array([numbers.get(place, -1) for place in side], int) for side in (one, other)
    )
    same: Floats = ((rows[:, None] == columns[None, :]) & (rows[:, None] >= 0)).astype(np.float32)
    return same


def _counted(side: Sequence[Unit]) -> list[tuple[int, int]]:
    """For each layer which one it is of those like it, and how many there are."""
    patterns = [_pattern(unit.path) for unit in side]
    families: dict[tuple[object, ...], set[int]] = {}
    for texts, numbers in patterns:
        families.setdefault((texts, numbers[:-1]), set()).update(numbers[-1:])
    found = []
    for texts, numbers in patterns:
        family = sorted(families[texts, numbers[:-1]])
        found.append((family.index(numbers[-1]) if numbers else 0, max(len(family), 1)))
    return found


def same_direction(a: Sequence[Unit], b: Sequence[Unit]) -> NDArray[np.bool_]:
    """For each two of the pairs (a[i], b[i]) whether their names differ by numbers only on either
    side, and count in the same direction: `layer1.0`, `layer1.1` and `block1`, `block2`."""
    import numpy as np

    found = np.ones((len(a), len(a)), bool)
    upwards = []
    for side in (a, b):
        patterns = [_pattern(unit.path) for unit in side]
        texts = {text: at for at, text in enumerate(dict(patterns))}
        ranked = {numbers: at for at, numbers in enumerate(sorted({two for _, two in patterns}))}
        one = np.array([texts[text] for text, _ in patterns])
        rank = np.array([ranked[numbers] for _, numbers in patterns])
        found &= (one[:, None] == one[None, :]) & (rank[:, None] != rank[None, :])
        upwards.append(rank[:, None] < rank[None, :])
    same: NDArray[np.bool_] = found & (upwards[0] == upwards[1])
    return same


def _pattern(path: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The words of a path with its numbers left out, and the numbers; words may be numbers too."""
    texts, numbers = [], []
    for part in re.findall(r"\d+|[^\W\d_]+", path):
        word = part.lower()
        if part.isdecimal():
            number = int(part[:18])
        elif word in ORDINALS:
            number = ORDINALS[word]
        else:
            texts.append(word)
            continue
        texts.append("#")
        numbers.append(number)
    return tuple(texts), tuple(numbers)


def ranks(units: Sequence[Unit]) -> list[int]:
    """Each unit's place when their names are sorted with the numbers as numbers."""
    in_order = sorted(range(len(units)), key=lambda at: natural(units[at].path))
    found = [0] * len(units)
    for rank, at in enumerate(in_order):
        found[at] = rank
    return found
