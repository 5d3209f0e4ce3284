"""Tensors that are likely the same under another key: by shape, values, neighbours and name."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log
from typing import TYPE_CHECKING

from core.checkpoint import TensorEntry, sampled_numbers
from core.compare.comparison import Pair, PairedBy
from core.compare.pairing.same_content import SAMPLED
from core.keys import LEAVES, STRIP, best_assignment, leaf, words
from core.progress import Report, ignore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Floats = NDArray[np.floating]
    _Samples = tuple[Sequence[Floats | None], Sequence[Floats | None]]


SIGNIFICANT = 6.0
"""Fisher z of a correlation (atanh r times the square root of n - 3), in standard deviations, from
which it is significant: not one in a billion unrelated pairs reaches it by chance."""

MIN_SAMPLES = 24
"""The fewest samples from which a correlation is computed."""

MIN_CORRELATION = 0.5
"""The smallest correlation that is significant."""

LIKELY = 0.3
"""The smallest confidence of a pair that is reported."""

MAX_NAME_CONFIDENCE = 0.95
"""The largest confidence from names and order alone."""

UNLIKE_VALUES = 0.75
"""The largest confidence of two matrices whose values do not correlate."""

# The weights and factors below were chosen by judgement, and so were the bounds above.

BY_WORDS, BY_RANK = 1.2, 0.4
"""Weights of the common words and of the same rank in a score. Names with the same words have 0.5
in common (see `names`), so at the same rank they score 1."""

BY_NEIGHBOURS, WORDS_WITH_NEIGHBOURS = 0.5, 0.9
"""Weights of the same neighbours and of the common words in the other score, which is 0.95 for the
same words between the same neighbours."""

OTHER_LEAF = 0.25
"""Factor of a score where the names say different things, such as a weight and a bias."""

CLEAR_MARGIN, WITHOUT_MARGIN = 0.15, 0.6
"""A score that is this much higher than that of any rival is the confidence. With no margin at all,
it is multiplied by the second number, and in between by one in between."""

SURE_SCORE, SURE_CONFIDENCE = 0.5, 0.9
"""A pair between the same neighbours with this score has at least this confidence."""

EQUAL_GAIN = 0.15
"""What equal sampled elements, which other tensors have too, add to a confidence."""

VALUES_BASE, VALUES_GAIN = 0.6, 0.39
"""The confidence of a pair by its values is the first plus the second times the correlation: just
below pair_entries.MIN_CONFIDENCE at MIN_CORRELATION, and at most 0.99."""

CLOSE_RIVAL, WITH_RIVAL = 0.05, 0.75
"""Where the correlation with another tensor is smaller by less than the first, the confidence is
multiplied by the second."""

OTHER_LEAF_WITH_VALUES = 0.5
"""As OTHER_LEAF, where the values correlate."""

_LEAVES = ("", *sorted(LEAVES))


class Likeness:
    """How alike the tensors of two lists are, all of one shape.

    The methods give rows `start` to `stop` of a score matrix, float32 [rows, tensors of B], so that
    it need not be in memory as a whole. `values` are the sampled numbers of both sides, and
    `places` the paired neighbours of each tensor (see _Neighbours).
    """

    def __init__(
        self,
        keys_a: Sequence[str],
        keys_b: Sequence[str],
        values: _Samples | None = None,
        places: tuple[Sequence[_Neighbours], Sequence[_Neighbours]] | None = None,
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
        self._neighbours = (
            tuple(np.array(side, dtype=np.int64) for side in places) if places else None
        )

    def names(self, start: int, stop: int) -> Floats:
        """A score by common words and by rank among the tensors of this shape, or by common words
        and paired neighbours, whichever is higher."""
        import numpy as np

        stop = min(stop, self.rows)
        (a, sizes_a), (b, sizes_b) = self._words
        common = np.asarray((a[start:stop] @ b.T).todense(), dtype=np.float32)
        common /= np.maximum(sizes_a[start:stop, None] + sizes_b[None, :], np.float32(1e-9))
        distance = np.abs(self._ranks[0][start:stop, None] - self._ranks[1][None, :])
        distance *= np.float32(max(self.rows - 1, self.columns - 1, 1))
        scores: Floats = np.float32(BY_WORDS) * common + np.float32(BY_RANK) / (1 + distance)
        if self._neighbours is not None:
            by_neighbours = (
                np.float32(BY_NEIGHBOURS) * self.neighbours(start, stop)
                + np.float32(WORDS_WITH_NEIGHBOURS) * common
            )
            np.maximum(scores, by_neighbours, out=scores)
        first, second = self._leaves
        if first.any() and second.any():
            leaves_a, leaves_b = first[start:stop, None], second[None, :]
            scores[(leaves_a != leaves_b) & (leaves_a > 0) & (leaves_b > 0)] *= OTHER_LEAF
        return scores

    def neighbours(self, start: int, stop: int) -> Floats:
        """1 where the nearest paired tensors before and after are the same pairs at the same
        distance; 0.5 where one of them is; else 0."""
        import numpy as np

        stop = min(stop, self.rows)
        if self._neighbours is None:
            return np.zeros((stop - start, self.columns), np.float32)
        a, b = self._neighbours
        before = a[start:stop, None, 0] == b[None, :, 0]
        after = a[start:stop, None, 1] == b[None, :, 1]
        scores: Floats = (before.astype(np.float32) + after) / np.float32(2)
        return scores

    def values(self, start: int, stop: int) -> Floats:
        """The rank correlation of the sampled values where it is significant, else 0."""
        import numpy as np

        stop = min(stop, self.rows)
        if self._values is None:
            return np.zeros((stop - start, self.columns), np.float32)
        (a, count), (b, count_b) = self._values
        if count != count_b:  # one side has no samples
            return np.zeros((stop - start, self.columns), np.float32)
        correlations: Floats = np.clip(a[start:stop] @ b.T, -1, 1)
        # arctanh(1) is infinite.
        z = np.arctanh(np.minimum(correlations, 1 - 1e-7)) * np.sqrt(max(count - 3, 0))
        correlations[(z < SIGNIFICANT) | (correlations < MIN_CORRELATION)] = 0
        return correlations

    def equal(self, row: int, column: int) -> bool:
        """Whether the sampled elements are equal."""
        a, b = (side[at] for side, at in zip(self._samples, (row, column), strict=True))
        return a is not None and b is not None and a.tolist() == b.tolist()

    def informed(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which tensors of A, and which of B, have samples that can correlate at all."""
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
    progress: Report = ignore,
) -> list[Pair]:
    """Pair tensors of equal shape so that all pairs together are the most likely ones.

    `a` and `b` are the unpaired tensors in their order, `paired` the keys of the paired ones, and
    `order` all keys of both files. Tensors whose sampled values correlate significantly are paired
    first; these pairs are then the neighbours by which the other tensors are paired. Pairs by names
    have a confidence of LIKELY or more. `samples` keeps what was read for the next call. Raises
    SourceError and Cancelled.
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
        likeness = Likeness(keys_a, keys_b, values)
        chosen = best_assignment(likeness.values, likeness.rows, likeness.columns)
        own, rivals = _own_and_rivals(likeness.values, chosen, likeness.columns)
        pairs += [
            _by_values(a[keys_a[row]], b[keys_b[column]], keys_a[row], score, rival)
            for (row, column), score, rival in zip(chosen, own, rivals, strict=True)
            if score > 0
        ]
        done += len(keys_a) + len(keys_b)
        progress(done, total, keys_a[0])
    known += [(pair.a.key, pair.b.key) for pair in pairs]
    places = _paired_neighbours(known, order)
    taken_a, taken_b = {pair.a.key for pair in pairs}, {pair.b.key for pair in pairs}
    for keys_a, keys_b in groups:
        left_a = [index for index, key in enumerate(keys_a) if a[key].key not in taken_a]
        left_b = [index for index, key in enumerate(keys_b) if b[key].key not in taken_b]
        if not (left_a and left_b):
            continue
        both = sampled[keys_a[0]]
        names_a, names_b = [keys_a[i] for i in left_a], [keys_b[i] for i in left_b]
        likeness = Likeness(
            names_a,
            names_b,
            ([both[0][i] for i in left_a], [both[1][i] for i in left_b]),
            (
                [places[0][a[key].key] for key in names_a],
                [places[1][b[key].key] for key in names_b],
            ),
        )
        pairs += _by_names(a, b, names_a, names_b, likeness)
    return pairs


class Samples:
    """The sampled numbers of tensors; each tensor is read once."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[TensorEntry, Floats | None]] = {}

    def of(self, entry: TensorEntry) -> Floats | None:
        """The samples of a tensor, None where it has no real numbers. Raises SourceError."""
        if id(entry) not in self._read:
            self._read[id(entry)] = entry, sampled_numbers(entry)
        return self._read[id(entry)][1]


def correlation(a: TensorEntry, b: TensorEntry) -> float | None:
    """The rank correlation of the sampled values of two tensors of equal shape; None where it is
    not significant."""
    score = Likeness(["a"], ["b"], ([sampled_numbers(a)], [sampled_numbers(b)])).values(0, 1)[0, 0]
    return float(score) if score > 0 else None


_Neighbours = tuple[int, int]
"""The nearest paired tensor before, and the one after, as integers: the number of the pair in the
upper 32 bits and the distance in the lower ones, so that one comparison tests both."""


def _paired_neighbours(
    paired: Sequence[tuple[str, str]], order: tuple[Sequence[str], Sequence[str]]
) -> tuple[dict[str, _Neighbours], dict[str, _Neighbours]]:
    """Key → neighbours, for both sides. Pairs are numbered from 2; 0 and 1 are the beginning and
    the end."""
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
    by_shape: dict[tuple[int, ...], tuple[list[str], list[str]]] = {}
    for side, entries in enumerate((a, b)):
        for key, entry in entries.items():
            by_shape.setdefault(entry.shape, ([], []))[side].append(key)
    return [group for group in by_shape.values() if all(group)]


def _word_matrices(keys_a: Sequence[str], keys_b: Sequence[str]) -> list[tuple[csr_matrix, Floats]]:
    """For each side: a sparse matrix [keys, words], and the sum of the weights of each key's words.

    A word's weight is larger the rarer it is. The entries are square roots of weights, so that a
    product of two rows is the weight of their common words.
    """
    import numpy as np
    from scipy.sparse import csr_matrix

    sides = [[words(key) for key in keys] for keys in (keys_a, keys_b)]
    counts = Counter(word for side in sides for key_words in side for word in key_words)
    total = len(keys_a) + len(keys_b)
    column = {word: index for index, word in enumerate(counts)}
    rare = np.array([log(1 + total / count) for count in counts.values()], dtype=np.float32)
    matrices = []
    for side in sides:
        places = [(row, column[word]) for row, key_words in enumerate(side) for word in key_words]
        rows, columns = (
            (np.array(indexes, dtype=int) for indexes in zip(*places, strict=True))
            if places
            else (np.zeros(0, int), np.zeros(0, int))
        )
        weights = rare[columns]
        matrix = csr_matrix((np.sqrt(weights), (rows, columns)), shape=(len(side), len(counts)))
        sums = np.bincount(rows, weights=weights, minlength=len(side)).astype(np.float32)
        matrices.append((matrix, sums))
    return matrices


def _ranked(values: Sequence[Floats | None]) -> tuple[Floats, int]:
    """The samples as ranks with mean 0 and norm 1, [tensors, samples], and the number of samples.

    A row is zeros where the samples are too few, too equal or not finite. Ranks are used because
    otherwise a few large values would look like a correlation.
    """
    import numpy as np

    count = max((len(sample) for sample in values if sample is not None), default=0)
    result = np.zeros((len(values), count), np.float32)
    rows = [row for row, sample in enumerate(values) if sample is not None]
    if count < MIN_SAMPLES or not rows:
        return result, count
    samples = np.array([values[row] for row in rows])
    order = samples.argsort(1)
    in_order = np.take_along_axis(samples, order, 1)
    different = (np.diff(in_order, axis=1) > 0).sum(1) + 1
    informative = (different * 2 >= count) & np.isfinite(samples).all(1)
    ranks = np.empty_like(samples, dtype=np.float32)
    np.put_along_axis(ranks, order, np.arange(count, dtype=np.float32) - (count - 1) / 2, 1)
    ranks /= np.linalg.norm(ranks[0])
    result[np.array(rows)[informative]] = ranks[informative]
    return result, count


def _by_values(a: TensorEntry, b: TensorEntry, key: str, correlation: float, rival: float) -> Pair:
    confidence = VALUES_BASE + VALUES_GAIN * correlation
    if rival > correlation - CLOSE_RIVAL:
        confidence *= WITH_RIVAL
    if leaf(a.key) and leaf(b.key) and leaf(a.key) != leaf(b.key):
        confidence *= OTHER_LEAF_WITH_VALUES
    why = f"same shape, sampled values correlate at {correlation:.2f}"
    return Pair(key, a, b, PairedBy.LIKENESS, round(confidence, 3), why)


def _by_names(
    a: Mapping[str, TensorEntry],
    b: Mapping[str, TensorEntry],
    keys_a: Sequence[str],
    keys_b: Sequence[str],
    likeness: Likeness,
) -> list[Pair]:
    chosen = best_assignment(likeness.names, likeness.rows, likeness.columns)
    informed_a, informed_b = likeness.informed()
    own, rivals = _own_and_rivals(likeness.names, chosen, likeness.columns)
    between, _ = _own_and_rivals(likeness.neighbours, chosen, likeness.columns)
    alone = likeness.rows == likeness.columns == 1
    pairs = []
    for (row, column), score, rival, same_neighbours in zip(
        chosen, own, rivals, between, strict=True
    ):
        margin = max(0.0, score - rival)
        clear = 1.0 if alone else min(1.0, margin / CLEAR_MARGIN)
        confidence = score * (WITHOUT_MARGIN + (1 - WITHOUT_MARGIN) * clear)
        confidence = min(confidence, MAX_NAME_CONFIDENCE)
        if same_neighbours == 1 and score >= SURE_SCORE:
            confidence = max(confidence, SURE_CONFIDENCE)
        entry_a, entry_b = a[keys_a[row]], b[keys_b[column]]
        equal = likeness.equal(row, column)
        if equal:
            confidence = min(SAMPLED, confidence + EQUAL_GAIN)
        elif informed_a[row] and informed_b[column] and len(entry_a.shape) > 1:
            confidence = min(confidence, UNLIKE_VALUES)
        if confidence >= LIKELY:
            why = _why(same_neighbours, alone=alone, equal=equal)
            pairs.append(
                Pair(keys_a[row], entry_a, entry_b, PairedBy.LIKENESS, round(confidence, 3), why)
            )
    return pairs


def _own_and_rivals(
    scores: Callable[[int, int], Floats], chosen: Sequence[tuple[int, int]], columns: int
) -> tuple[list[float], list[float]]:
    """The score of each chosen pair, and the best score of either of the two with another
    tensor."""
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
    reasons = [
        "same shape",
        *(["same elements, but other tensors may have them too"] if equal else []),
    ]
    if alone:
        reasons.append("the only unpaired tensors of that shape")
    if between == 1:
        reasons.append("between the same neighbours")
    elif between:
        reasons.append("next to the same neighbour")
    reasons.append("name and order alike")
    return ", ".join(reasons)
