"""Which models have a file's tensors under other names: those of the same shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.architectures import Shape, squeezed
from core.fit.index.index import Index
from core.keys import BATCH_COUNTER, MAX_STARTS, starts

Numbers = NDArray[np.integer]

Counted = tuple[Shape, int, int]
"""A tensor's form, how many such it holds, and the numbers in it where it is a vector."""

LIKE = 0.8
"""The share of the forms of both that must be in both, for a model to be looked at."""

LEAST = 6
"""Matrices that a file and a model must have in common."""

LITTLE = 0.02
"""How much better a part of a file must be than all of it, to be looked at instead."""

MOST_LENGTH = 1 << 32
"""Numbers in a vector that count; a file may state any."""

MOST_PREFIXES = 200
"""Prefixes that are looked at, those of the most tensors."""


@dataclass(frozen=True, slots=True)
class ShapeLikeness:
    """A profile's row and a prefix below which the file has tensors of its shapes; `share`, 0 to
    1, of all that both have."""

    row: int
    prefix: str
    share: float


def form(shape: Shape) -> tuple[Shape, int]:
    """A matrix's shape without what libraries differ in, and how many such it holds.

    Dimensions of 1 are left out, rows and columns exchange their places, and two or three squares
    side by side, as q, k and v often are, are as many. A vector's form is empty.
    """
    plain = squeezed(shape)
    if len(plain) < 2:
        return (), 0
    if len(plain) > 2:
        return plain, 1
    small, large = sorted(plain)
    if small and large in (2 * small, 3 * small):
        return (small, small), large // small
    return (small, large), 1


class Forms:
    """How many tensors of each form the profiles of an index have, and how many numbers in vectors.

    `members` are the models of each profile, whose first one stands for all. What an option changes
    may have another form in a file.
    """

    def __init__(self, index: Index, members: Sequence[Sequence[int]]) -> None:
        plain = [form(shape) for shape in index.shapes]
        self._columns = {one: at for at, one in enumerate(dict.fromkeys(one for one, _ in plain))}
        column = np.array([self._columns[one] for one, _ in plain], np.int64)
        times = np.array([count for _, count in plain], np.int64)
        lengths = np.array([_length(shape) for shape in index.shapes], np.int64)
        self._vectors = np.zeros((len(members), 2), np.int64)
        fixed: list[tuple[int, Numbers]] = []
        loose: list[tuple[int, Numbers]] = []
        for row, models in enumerate(members):
            packed = index.signatures[int(index.signature_ids[models[0]])]
            differences = [index.differences[one.difference] for one in index.variations[models[0]]]
            changed = [one.changed for one in differences] + [one.gone for one in differences]
            varied = np.isin(packed.key_ids, np.concatenate([packed.key_ids[:0], *changed]))
            fixed.append((row, packed.shape_ids[~varied]))
            loose.append((row, packed.shape_ids[varied]))
            self._vectors[row] = (
                lengths[packed.shape_ids[~varied]].sum(),
                lengths[packed.shape_ids].sum(),
            )

        def counted(shapes: Sequence[tuple[int, Numbers]]) -> sparse.csc_matrix:
            nothing = np.zeros(0, np.int64)
            rows = np.concatenate([nothing, *(np.full(len(each), row) for row, each in shapes)])
            ids = np.concatenate([nothing, *(each for _, each in shapes)])
            size = len(members), len(self._columns)
            return sparse.csc_matrix((times[ids], (rows, column[ids])), shape=size)

        self._fixed, self._loose = counted(fixed), counted(loose)
        self._size, self._more = (
            np.asarray(each.sum(1)).ravel() for each in (self._fixed, self._loose)
        )

    def alike(self, shapes: Mapping[str, Shape], most: int) -> list[ShapeLikeness]:
        """The profiles that have the shapes of a file's keys, below one prefix each; best first."""
        below: dict[str, list[Counted]] = {}
        for key, shape in shapes.items():
            if not key.endswith(BATCH_COUNTER):
                counted = *form(shape), _length(shape)
                for start in starts(key, MAX_STARTS):
                    below.setdefault(key[:start], []).append(counted)
        largest = sorted(below, key=lambda prefix: (-len(below[prefix]), len(prefix)))
        best: dict[int, ShapeLikeness] = {}
        for prefix in largest[:MOST_PREFIXES]:
            shares = self._shares(below[prefix])
            for row in np.flatnonzero(shares >= LIKE).tolist():
                share = float(shares[row])
                if row not in best or share > best[row].share + LITTLE:
                    best[row] = ShapeLikeness(row, prefix, share)
        return sorted(best.values(), key=lambda found: -found.share)[:most]

    def _shares(self, tensors: Iterable[Counted]) -> NDArray[np.float64]:
        found: Counter[Shape] = Counter()
        vectors = 0
        for plain, times, length in tensors:
            found[plain] += times
            vectors += length
        del found[()]
        total = sum(found.values())
        known = [
            (self._columns[one], count) for one, count in found.items() if one in self._columns
        ]
        if total < LEAST or not known:
            return np.zeros(len(self._vectors))
        columns, counts = (np.array(each) for each in zip(*known, strict=True))
        fixed, loose = (each[:, columns].toarray() for each in (self._fixed, self._loose))
        common = np.minimum(fixed, counts[None, :]).sum(1)
        exact = np.minimum(fixed + loose, counts[None, :]).sum(1)
        left = np.maximum(total - common - self._more, 0)
        share = (
            common / (self._size + left) + exact / np.maximum(self._size + self._more, total)
        ) / 2
        fewest, all_of_them = self._vectors.T
        apart = np.maximum(np.maximum(fewest - vectors, vectors - all_of_them), 0)
        share = share * (1 - apart / np.maximum(np.maximum(all_of_them, vectors), 1))
        return np.where(common >= LEAST, share, 0.0)


def _length(shape: Shape) -> int:
    """The numbers in a vector, at most MOST_LENGTH; 0 for what is none."""
    return 0 if form(shape)[1] else min(max(shape, default=0), MOST_LENGTH)
