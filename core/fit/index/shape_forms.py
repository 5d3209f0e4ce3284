"""Finds models that have tensors of a file's shapes, whatever their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from core.architectures import SIMPLE, Shape, squeezed
from core.fit.index.index import Index
from core.keys import BATCH_COUNTER, MAX_STARTS, starts

Numbers = NDArray[np.integer]

Counted = tuple[Shape, int, int]
"""A tensor's form, how many of that form it contains, and its length if it is a vector."""

MIN_SHAPE_SHARE = 0.8
"""The least share of the forms of a file and a model that both must have."""

MIN_COMMON_MATRICES = 6
"""The least number of matrices that a file and a model must have in common."""

PREFIX_GAIN = 0.02
"""How much larger its share must be for a longer prefix to be taken instead of a shorter one."""

MOST_LENGTH = 1 << 32
"""The greatest length of a vector that counts; a file may state any."""

MOST_PREFIXES = 200
"""The most prefixes that are compared, those with the most tensors."""


@dataclass(frozen=True, slots=True)
class ShapeLikeness:
    """A profile's row, and a prefix below which the file has tensors of its shapes.

    `share`, 0 to 1, is the share of the tensors of either side that the other side has too.
    """

    row: int
    prefix: str
    share: float


def form(shape: Shape) -> tuple[Shape, int]:
    """A matrix's shape without what libraries differ in, and how many of that form it contains.

    Dimensions of 1 are left out, and rows and columns are sorted by length. Two or three squares in
    one matrix, as q, k and v often are, count as two or three. A vector's form is empty, 0 times.
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
    """How many tensors of each form the profiles of an index have, and the length of their vectors.

    `members` are the models of each profile; the first stands for all. Tensors that an option
    changes are counted apart, since they may have another form in a file.
    """

    def __init__(self, index: Index, members: Sequence[Sequence[int]]) -> None:
        plain = [form(shape) for shape in index.shapes]
        forms = dict.fromkeys(form_of_shape for form_of_shape, _ in plain)
        self._columns = {form_of_shape: at for at, form_of_shape in enumerate(forms)}
        column = np.array([self._columns[form_of_shape] for form_of_shape, _ in plain], np.int64)
        times = np.array([count for _, count in plain], np.int64)
        lengths = np.array([_length(shape) for shape in index.shapes], np.int64)
        self._vectors = np.zeros((len(members), 2), np.int64)
        fixed: list[tuple[int, Numbers]] = []
        varying: list[tuple[int, Numbers]] = []
        for row, models in enumerate(members):
            packed = index.signatures[int(index.signature_ids[models[0]])]
            variations = index.variations[models[0]]
            differences = [
                index.differences[variation.difference]
                for variation in variations
                if variation.option in SIMPLE
            ]
            changed = [array for diff in differences for array in (diff.changed, diff.gone)]
            varied = np.isin(packed.key_ids, np.concatenate([packed.key_ids[:0], *changed]))
            fixed.append((row, packed.shape_ids[~varied]))
            varying.append((row, packed.shape_ids[varied]))
            self._vectors[row] = (
                lengths[packed.shape_ids[~varied]].sum(),
                lengths[packed.shape_ids].sum(),
            )

        def counted(shapes: Sequence[tuple[int, Numbers]]) -> sparse.csc_matrix:
            nothing = np.zeros(0, np.int64)
            rows = np.concatenate([nothing, *(np.full(len(ids), row) for row, ids in shapes)])
            ids = np.concatenate([nothing, *(ids for _, ids in shapes)])
            size = len(members), len(self._columns)
            return sparse.csc_matrix((times[ids], (rows, column[ids])), shape=size)

        self._fixed, self._varying = counted(fixed), counted(varying)
        self._size, self._more = (
            np.asarray(counts.sum(1)).ravel() for counts in (self._fixed, self._varying)
        )

    def alike(self, shapes: Mapping[str, Shape], most: int) -> list[ShapeLikeness]:
        """The profiles most alike to the shapes of a file's keys, each with its best prefix.

        The best is first, and there are at most `most`.
        """
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
            for row in np.flatnonzero(shares >= MIN_SHAPE_SHARE).tolist():
                share = float(shares[row])
                if row not in best or share > best[row].share + PREFIX_GAIN:
                    best[row] = ShapeLikeness(row, prefix, share)
        return sorted(best.values(), key=lambda likeness: -likeness.share)[:most]

    def _shares(self, tensors: Iterable[Counted]) -> NDArray[np.float64]:
        """For each profile the share of the tensors of either side that the other has too."""
        by_form: Counter[Shape] = Counter()
        vectors = 0
        for plain, times, length in tensors:
            by_form[plain] += times
            vectors += length
        del by_form[()]
        total = sum(by_form.values())
        known = [
            (self._columns[plain], count)
            for plain, count in by_form.items()
            if plain in self._columns
        ]
        if total < MIN_COMMON_MATRICES or not known:
            return np.zeros(len(self._vectors))
        columns, counts = map(np.array, zip(*known, strict=True))
        fixed, varying = (table[:, columns].toarray() for table in (self._fixed, self._varying))
        common = np.minimum(fixed, counts[None, :]).sum(1)
        exact = np.minimum(fixed + varying, counts[None, :]).sum(1)
        unexplained = np.maximum(total - common - self._more, 0)
        # The mean of two shares: of the tensors that no option changes, where the file's others
        # may be those that an option changes; and of all tensors with every option at its default.
        share = (
            common / (self._size + unexplained) + exact / np.maximum(self._size + self._more, total)
        ) / 2
        fewest, most = self._vectors.T
        # Vectors have no form: their lengths together must be between those without and with the
        # tensors that an option changes.
        vector_gap = np.maximum(np.maximum(fewest - vectors, vectors - most), 0)
        share = share * (1 - vector_gap / np.maximum(np.maximum(most, vectors), 1))
        return np.where(common >= MIN_COMMON_MATRICES, share, 0.0)


def _length(shape: Shape) -> int:
    """The length of a vector, at most MOST_LENGTH; 0 for a matrix."""
    return 0 if form(shape)[1] else min(max(shape, default=0), MOST_LENGTH)
