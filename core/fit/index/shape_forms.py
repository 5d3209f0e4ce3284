"""Finds models that have tensors of a file's shapes, whatever their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.architectures import Shape, matrix_form
from core.fit.index.profile_entries import Mask, Numbers, ProfileEntries, members_of_runs
from core.keys import BATCH_COUNTER, MAX_STARTS, copy_preference, starts

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


class Forms:
    """How many tensors of each form the profiles of an index have, and the length of their vectors.

    Tensors that an option changes are counted apart, since they may have another form in a file.
    """

    def __init__(self, shapes: Sequence[Shape], entries: ProfileEntries, profiles: int) -> None:
        """`shapes` are those of the index, and `entries` those of its profiles."""
        plain = [matrix_form(shape) for shape in shapes]
        forms = dict.fromkeys(form_of_shape for form_of_shape, _ in plain)
        self._columns = {form_of_shape: at for at, form_of_shape in enumerate(forms)}
        column = np.array([self._columns[form_of_shape] for form_of_shape, _ in plain], np.int64)
        times = np.array([count for _, count in plain], np.int64)
        lengths = np.array([_length(shape) for shape in shapes], np.int64)
        varied = entries.varied

        def counted(chosen: Mask) -> _FormCounts:
            ids = entries.shapes[chosen]
            size = profiles, len(forms)
            return _FormCounts(entries.rows[chosen], column[ids], times[ids], size)

        self._fixed, self._varying = counted(~varied), counted(varied)
        self._size, self._more = self._fixed.sums, self._varying.sums
        own = lengths[entries.shapes]
        fewest = np.bincount(entries.rows, np.where(varied, 0, own), profiles)
        self._vectors = np.stack([fewest, np.bincount(entries.rows, own, profiles)], axis=1)

    def alike(self, shapes: Mapping[str, Shape], most: int) -> list[ShapeLikeness]:
        """The profiles most alike to the shapes of a file's keys, each with its best prefix.

        The best is first, and there are at most `most`.
        """
        below: dict[str, list[Counted]] = {}
        for key, shape in shapes.items():
            if not key.endswith(BATCH_COUNTER):
                counted = *matrix_form(shape), _length(shape)
                for start in starts(key, MAX_STARTS):
                    below.setdefault(key[:start], []).append(counted)
        largest = sorted(below, key=lambda prefix: (-len(below[prefix]), copy_preference(prefix)))
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
        fixed, varying = (table.columns(columns) for table in (self._fixed, self._varying))
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


class _FormCounts:
    """A table of how many tensors of each form (a column) each profile (a row) has.

    Nearly all of its counts are 0: they are stored column by column without these.
    """

    def __init__(
        self, rows: Numbers, columns: Numbers, times: Numbers, size: tuple[int, int]
    ) -> None:
        """Entry i counts `times[i]` for its row and column."""
        order = np.argsort(columns, kind="stable")
        self._rows, self._times = rows[order], times[order]
        self._starts = np.searchsorted(columns[order], np.arange(size[1] + 1))
        self.sums = np.bincount(rows, times, size[0])

    def columns(self, numbers: Numbers) -> NDArray[np.float64]:
        """The counts of these columns, a row for each profile."""
        starts = self._starts[numbers]
        lengths = self._starts[numbers + 1] - starts
        at = members_of_runs(starts, lengths)
        cells = self._rows[at] * len(numbers) + np.repeat(np.arange(len(numbers)), lengths)
        counts = np.bincount(cells, self._times[at], len(self.sums) * len(numbers))
        return counts.reshape(-1, len(numbers)).astype(np.float64, copy=False)


def _length(shape: Shape) -> int:
    """The length of a vector, at most MOST_LENGTH; 0 for a matrix."""
    return 0 if matrix_form(shape)[1] else min(max(shape, default=0), MOST_LENGTH)
