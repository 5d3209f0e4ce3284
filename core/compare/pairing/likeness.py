"""Tensors that are likely the same one under another key: by shape, values, neighbours and name."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log
from typing import TYPE_CHECKING

from core.checkpoint import TensorEntry
from core.compare.comparison import Pair, PairedBy
from core.compare.pairing.sampled import sampled_numbers
from core.keys import LEAVES, STRIP, best_assignment, leaf, words
from core.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Floats = NDArray[np.floating]
    _Samples = tuple[Sequence[Floats | None], Sequence[Floats | None]]


SIGNIFICANT = 6.0
"""Standard deviations of a correlation's Fisher z (atanh r, times the root of n - 3) from which it
tells: by chance, not one in a billion unrelated pairs reaches it."""

ENOUGH = 24
"""The fewest samples whose correlation is looked at."""

LEAST = 0.5
"""The least correlation that tells."""

LIKELY = 0.3
"""The least confidence of a pair that is worth telling."""

MOST = 0.95
"""The most confidence that names and order alone give."""

EQUAL = 0.97
"""The most confidence of two whose elements are equal, and those of others too."""

OTHER_LEAF = 0.25
"""What is left of a score where one is a weight, and the other a bias, by their names."""

UNLIKE_VALUES = 0.75
"""The most confidence of two matrices whose values have nothing in common."""

_LEAVES = ("", *sorted(LEAVES))


class Likeness:
    """How alike the tensors of two lists are, all of one shape: as matrices, strip by strip.

    `places` say for each tensor which paired tensor stands before it and after it, and how far off.
    """

    def __init__(
        self,
        keys_a: Sequence[str],
        keys_b: Sequence[str],
        values: _Samples | None = None,
        places: tuple[Sequence[_Place], Sequence[_Place]] | None = None,
    ) -> None:
        import numpy as np

        self.rows, self.columns = len(keys_a), len(keys_b)
        self._words = _word_matrices(keys_a, keys_b)
        self._ranks = (
            np.linspace(0, self.rows > 1, self.rows, dtype=np.float32),
            np.linspace(0, self.columns > 1, self.columns, dtype=np.float32),
        )
        self._leaves = tuple(
            np.array([_LEAVES.index(leaf(key)) for key in keys], dtype=np.int8)
            for keys in (keys_a, keys_b)
        )
        self._samples = values or ([None] * self.rows, [None] * self.columns)
        self._values = tuple(_ranked(side) for side in values) if values else None
        self._places = tuple(np.array(side, dtype=np.int64) for side in places) if places else None

    def names(self, start: int, stop: int) -> Floats:
        """From 0 to 1: the words in common, the rank among the tensors of this shape, and, where
        they are known, the same paired neighbours."""
        import numpy as np

        stop = min(stop, self.rows)
        (a, sizes_a), (b, sizes_b) = self._words
        common = np.asarray((a[start:stop] @ b.T).todense(), dtype=np.float32)
        common /= np.maximum(sizes_a[start:stop, None] + sizes_b[None, :], np.float32(1e-9))
        far = np.abs(self._ranks[0][start:stop, None] - self._ranks[1][None, :])
        far *= np.float32(max(self.rows - 1, self.columns - 1, 1))
        found: Floats = np.float32(1.2) * common + np.float32(0.4) / (1 + far)
        if self._places is not None:
            beside = np.float32(0.5) * self.neighbours(start, stop) + np.float32(0.9) * common
            np.maximum(found, beside, out=found)
        first, second = self._leaves
        if first.any() and second.any():
            one, other = first[start:stop, None], second[None, :]
            found[(one != other) & (one > 0) & (other > 0)] *= OTHER_LEAF
        return found

    def neighbours(self, start: int, stop: int) -> Floats:
        """1 where the next paired tensors before and after are the same pairs, as far off; 0.5
        where one of them is."""
        import numpy as np

        stop = min(stop, self.rows)
        if self._places is None:
            return np.zeros((stop - start, self.columns), np.float32)
        a, b = self._places
        before = a[start:stop, None, 0] == b[None, :, 0]
        after = a[start:stop, None, 1] == b[None, :, 1]
        found: Floats = (before.astype(np.float32) + after) / np.float32(2)
        return found

    def values(self, start: int, stop: int) -> Floats:
        """The rank correlation of the sampled values where it tells, else 0."""
        import numpy as np

        stop = min(stop, self.rows)
        if self._values is None:
            return np.zeros((stop - start, self.columns), np.float32)
        (a, count), (b, other) = self._values
        if count != other:  # one side has no samples at all
            return np.zeros((stop - start, self.columns), np.float32)
        found: Floats = np.clip(a[start:stop] @ b.T, -1, 1)
        z = np.arctanh(np.minimum(found, 1 - 1e-7)) * np.sqrt(max(count - 3, 0))
        found[(z < SIGNIFICANT) | (found < LEAST)] = 0
        return found

    def equal(self, row: int, column: int) -> bool:
        """Whether the sampled elements are the same numbers."""
        a, b = (side[at] for side, at in zip(self._samples, (row, column), strict=True))
        return a is not None and b is not None and a.tolist() == b.tolist()

    def informed(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which tensors have sampled values that can tell at all."""
        import numpy as np

        if self._values is None:
            return np.zeros(self.rows, bool), np.zeros(self.columns, bool)
        (a, _), (b, _) = self._values
        return np.abs(a).sum(1) > 0, np.abs(b).sum(1) > 0


def likely_pairs(
    a: Mapping[str, TensorEntry],
    b: Mapping[str, TensorEntry],
    paired: Iterable[tuple[str, str]],
    order: tuple[Sequence[str], Sequence[str]],
    samples: Samples,
    progress: Progress | None = None,
) -> list[Pair]:
    """Pair tensors of equal shape so that all pairs together are the most likely ones.

    `a` and `b` are those that are alone still, in their order; `paired` are the keys of the others,
    and `order` all keys of both files. First those whose sampled values correlate as no two
    unrelated tensors do, which then are neighbours to go by for the rest. Each pair has a
    confidence of LIKELY or more. `samples` keeps what is read for the next time. Raises SourceError
    and Cancelled.
    """
    groups = _by_shape(a, b)
    sampled: dict[str, _Samples] = {}
    done, total = 0, len(a) + len(b)
    known = list(paired)
    pairs: list[Pair] = []
    for keys_a, keys_b in groups:
        values = (
            [samples.of(a[key]) for key in keys_a],
            [samples.of(b[key]) for key in keys_b],
        )
        sampled[keys_a[0]] = values
        found = Likeness(keys_a, keys_b, values)
        chosen = best_assignment(found.values, found.rows, found.columns)
        own, rivals = _own_and_rivals(found.values, chosen, found.columns)
        pairs += [
            _by_values(a[keys_a[row]], b[keys_b[column]], keys_a[row], one, rival)
            for (row, column), one, rival in zip(chosen, own, rivals, strict=True)
            if one > 0
        ]
        done += len(keys_a) + len(keys_b)
        if progress is not None:
            progress.report(done, total, keys_a[0])
    known += [(one.a.key, one.b.key) for one in pairs]
    places = _places(known, order)
    taken_a, taken_b = {one.a.key for one in pairs}, {one.b.key for one in pairs}
    for keys_a, keys_b in groups:
        left_a = [index for index, key in enumerate(keys_a) if a[key].key not in taken_a]
        left_b = [index for index, key in enumerate(keys_b) if b[key].key not in taken_b]
        if not (left_a and left_b):
            continue
        held = sampled[keys_a[0]]
        names_a, names_b = [keys_a[i] for i in left_a], [keys_b[i] for i in left_b]
        found = Likeness(
            names_a,
            names_b,
            ([held[0][i] for i in left_a], [held[1][i] for i in left_b]),
            (
                [places[0][a[key].key] for key in names_a],
                [places[1][b[key].key] for key in names_b],
            ),
        )
        pairs += _by_names(a, b, names_a, names_b, found)
    return pairs


class Samples:
    """The sampled numbers of tensors, each read once."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[TensorEntry, Floats | None]] = {}

    def of(self, entry: TensorEntry) -> Floats | None:
        """Those of one tensor. Raises SourceError."""
        if id(entry) not in self._found:
            self._found[id(entry)] = entry, sampled_numbers(entry)
        return self._found[id(entry)][1]


def correlation(a: TensorEntry, b: TensorEntry) -> float | None:
    """Of the sampled values of two tensors of equal shape; None where these tell nothing."""
    found = Likeness(["a"], ["b"], ([sampled_numbers(a)], [sampled_numbers(b)])).values(0, 1)[0, 0]
    return float(found) if found > 0 else None


_Place = tuple[int, int]
"""Which paired tensor stands before, and which after, each with how far off it is, as a number."""


def _places(
    paired: Sequence[tuple[str, str]], order: tuple[Sequence[str], Sequence[str]]
) -> tuple[dict[str, _Place], dict[str, _Place]]:
    """Each key's place among the paired ones, which are told by their number; 0 and 1 stand for
    the beginning and the end."""
    sides = []
    for side, keys in enumerate(order):
        at = {key: index for index, key in enumerate(keys)}
        anchors = sorted((at[pair[side]], number) for number, pair in enumerate(paired, 2))
        anchors = [(-1, 0), *anchors, (len(keys), 1)]
        indexes = [index for index, _ in anchors]
        places = {}
        for index, key in enumerate(keys):
            after = bisect_left(indexes, index)
            before = after - 1
            places[key] = (
                anchors[before][1] << 32 | index - indexes[before],
                anchors[after][1] << 32 | indexes[after] - index,
            )
        sides.append(places)
    return sides[0], sides[1]


def _by_shape(
    a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]
) -> list[tuple[list[str], list[str]]]:
    found: dict[tuple[int, ...], tuple[list[str], list[str]]] = {}
    for side, entries in enumerate((a, b)):
        for key, entry in entries.items():
            found.setdefault(entry.shape, ([], []))[side].append(key)
    return [group for group in found.values() if all(group)]


def _word_matrices(keys_a: Sequence[str], keys_b: Sequence[str]) -> list[tuple[csr_matrix, Floats]]:
    """For each side a sparse matrix of words, by the square root of how rare they are, and sums."""
    import numpy as np
    from scipy.sparse import csr_matrix

    sides = [[words(key) for key in keys] for keys in (keys_a, keys_b)]
    counts = Counter(word for side in sides for found in side for word in found)
    total = len(keys_a) + len(keys_b)
    column = {word: index for index, word in enumerate(counts)}
    rare = np.array([log(1 + total / count) for count in counts.values()], dtype=np.float32)
    made = []
    for side in sides:
        places = [(row, column[word]) for row, found in enumerate(side) for word in found]
        rows, columns = (
            (np.array(one, dtype=int) for one in zip(*places, strict=True))
            if (places)
            else (np.zeros(0, int), np.zeros(0, int))
        )
        weights = rare[columns]
        matrix = csr_matrix((np.sqrt(weights), (rows, columns)), shape=(len(side), len(counts)))
        sums = np.bincount(rows, weights=weights, minlength=len(side)).astype(np.float32)
        made.append((matrix, sums))
    return made


def _ranked(values: Sequence[Floats | None]) -> tuple[Floats, int]:
    """Samples as ranks with mean 0 and norm 1, a row of zeros where they tell nothing; their
    number. Ranks, since a few large values would look like a correlation."""
    import numpy as np

    count = max((len(one) for one in values if one is not None), default=0)
    found = np.zeros((len(values), count), np.float32)
    rows = [row for row, one in enumerate(values) if one is not None]
    if count < ENOUGH or not rows:
        return found, count
    held = np.array([values[row] for row in rows])
    order = held.argsort(1)
    in_order = np.take_along_axis(held, order, 1)
    different = (np.diff(in_order, axis=1) > 0).sum(1) + 1
    telling = (different * 2 >= count) & np.isfinite(held).all(1)
    ranks = np.empty_like(held, dtype=np.float32)
    np.put_along_axis(ranks, order, np.arange(count, dtype=np.float32) - (count - 1) / 2, 1)
    ranks /= np.linalg.norm(ranks[0])
    found[np.array(rows)[telling]] = ranks[telling]
    return found, count


def _by_values(a: TensorEntry, b: TensorEntry, key: str, correlation: float, rival: float) -> Pair:
    confidence = 0.6 + 0.39 * correlation
    if rival > correlation - 0.05:
        confidence *= 0.75
    if leaf(a.key) and leaf(b.key) and leaf(a.key) != leaf(b.key):
        confidence *= 0.5
    why = f"same shape, sampled values correlate at {correlation:.2f}"
    return Pair(key, a, b, PairedBy.LIKENESS, round(confidence, 3), why)


def _by_names(
    a: Mapping[str, TensorEntry],
    b: Mapping[str, TensorEntry],
    keys_a: Sequence[str],
    keys_b: Sequence[str],
    found: Likeness,
) -> list[Pair]:
    chosen = best_assignment(found.names, found.rows, found.columns)
    told_a, told_b = found.informed()
    own, rivals = _own_and_rivals(found.names, chosen, found.columns)
    between, _ = _own_and_rivals(found.neighbours, chosen, found.columns)
    alone = found.rows == found.columns == 1
    pairs = []
    for (row, column), score, rival, beside in zip(chosen, own, rivals, between, strict=True):
        margin = max(0.0, score - rival)
        confidence = score if alone else score * (0.6 + 0.4 * min(1.0, margin / 0.15))
        confidence = min(confidence, MOST)
        if beside == 1 and score >= 0.5:
            confidence = max(confidence, 0.9)
        one, other = a[keys_a[row]], b[keys_b[column]]
        equal = found.equal(row, column)
        if equal:
            confidence = min(EQUAL, confidence + 0.15)
        elif told_a[row] and told_b[column] and len(one.shape) > 1:
            confidence = min(confidence, UNLIKE_VALUES)
        if confidence >= LIKELY:
            why = _why(beside, alone=alone, equal=equal)
            pairs.append(
                Pair(keys_a[row], one, other, PairedBy.LIKENESS, round(confidence, 3), why)
            )
    return pairs


def _own_and_rivals(
    scores: Callable[[int, int], Floats], chosen: Sequence[tuple[int, int]], columns: int
) -> tuple[list[float], list[float]]:
    """The score of each chosen pair, and the best one that either of the two has with another."""
    import numpy as np

    rows_of = np.array([row for row, _ in chosen], dtype=int)
    columns_of = np.array([column for _, column in chosen], dtype=int)
    own = np.zeros(len(chosen))
    rivals = np.zeros(len(chosen))
    in_column = np.zeros(columns)
    for start in range(0, max(rows_of, default=-1) + 1, STRIP):
        inside = np.flatnonzero((rows_of >= start) & (rows_of < start + STRIP))
        strip = np.array(scores(start, start + STRIP), dtype=float)
        at = rows_of[inside] - start, columns_of[inside]
        own[inside] = strip[at]
        strip[at] = 0
        rivals[inside] = strip.max(1)[at[0]] if columns else 0
        in_column = np.maximum(in_column, strip.max(0))
    return own.tolist(), np.maximum(rivals, in_column[columns_of]).tolist()


def _why(between: float, *, alone: bool, equal: bool) -> str:
    told = ["same shape", *(["the same elements, as others have"] if equal else [])]
    if alone:
        told.append("no other tensor of that shape is alone")
    if between == 1:
        told.append("between the same neighbours")
    elif between:
        told.append("beside the same neighbour")
    told.append("name and order alike")
    return ", ".join(told)
