"""What speaks for a pair of layers: their order, the words of their names, and learned words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from math import log
from typing import TYPE_CHECKING

from core.align.units import Unit, natural
from core.compare.names import words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Floats = NDArray[np.float32]

NAMES_IN_ORDER = 0.25
"""What equal names add to a layer in the order's alignment, where a layer counts 1."""

VECTORS = 0.6
"""What a layer counts that has no matrix, such as a norm."""

FORGETS = 1.5
"""The most that the order speaks against a pair: a network may list its shortcut first or last."""

ORDINALS = {
    word: number
    for number, group in enumerate((("before", "pre", "first", "in"), ("after", "post", "second")))
    for word in group
}
"""Words that stand for a number, as in Hugging Face's `layernorm_before`."""


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
    """From 0 to 1: the words that two names share, the rare ones before the frequent."""
    import numpy as np

    sides = [[words(unit.path) for unit in side] for side in (a, b)]
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


def learned(a: Sequence[Unit], b: Sequence[Unit], sure: Iterable[tuple[int, int]]) -> Floats:
    """From 0 to about 1: how far two names are translations of each other, by the sure pairs.

    A word of one side means one of the other as far as they come together (Dice 1945): where
    `conv_a` always goes with `conv1`, it will again.
    """
    import numpy as np
    from scipy.sparse import csr_matrix, diags

    sides = [[_steps(unit.path) for unit in side] for side in (a, b)]
    matrices = []
    for side in sides:
        vocabulary = dict.fromkeys(word for one in side for word in one)
        matrices.append(_incidence(side, {word: at for at, word in enumerate(vocabulary)}))
    pairs = list(sure)
    if not pairs:
        return np.zeros((len(a), len(b)), np.float32)
    rows, columns = (np.array(one, dtype=int) for one in zip(*pairs, strict=True))
    left, right = matrices[0][rows], matrices[1][columns]
    together = csr_matrix(left.T @ right, dtype=np.float32)
    often = [np.asarray(one.sum(0), dtype=np.float32).ravel() for one in (left, right)]
    at = together.nonzero()
    count = np.asarray(together[at]).ravel()
    dice = 2 * count / (often[0][at[0]] + often[1][at[1]])
    # Once is chance; many words come together with many others, so the square.
    dice = dice**2 * (count / (count + 1))
    table = csr_matrix((dice, at), shape=together.shape)
    scaled = [
        diags(1 / np.sqrt(np.maximum(np.asarray(one.sum(1)).ravel(), 1))) @ one for one in matrices
    ]
    found: Floats = np.asarray((scaled[0] @ table @ scaled[1].T).todense(), dtype=np.float32)
    return found


def _steps(path: str) -> list[str]:
    """The parts of a path, its two last ones together, and all that it is in."""
    parts = path.split(".")
    return list(
        dict.fromkeys(
            [
                *(f"/{part}" for part in parts),
                "…" + ".".join(parts[-2:]),
                *(
                    "^" + ".".join(parts[:depth])
                    for depth in range(max(len(parts) - 3, 0), len(parts))
                ),
            ]
        )
    )


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


def counted_alike(a: Unit, other_a: Unit, b: Unit, other_b: Unit) -> bool:
    """Whether the names differ by numbers only on either side, and count in the same direction:
    `blocks.0.norm1`, `blocks.0.norm2` and `layer.0.ln_a`, `layer.0.ln_b`."""
    patterns = [_pattern(one.path) for one in (a, other_a, b, other_b)]
    if patterns[0][0] != patterns[1][0] or patterns[2][0] != patterns[3][0]:
        return False
    return (patterns[0][1] < patterns[1][1]) == (patterns[2][1] < patterns[3][1])


def _pattern(path: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The words of a path with its numbers left out, and the numbers; a letter is a number too."""
    texts, numbers = [], []
    for part in re.findall(r"\d+|[^\W\d_]+", path):
        word = part.lower()
        if part.isdecimal():
            number = int(part[:18])
        elif len(word) == 1 and word.isascii():
            number = ord(word)
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
