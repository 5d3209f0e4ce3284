"""What speaks for a pair of layers: their order, the words in their names, and learned words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from math import log
from typing import TYPE_CHECKING

from core.fit.align.layers import Layer
from core.keys import OPPOSITES, natural_order, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Floats = NDArray[np.float32]

NAMES_IN_ORDER = 0.25
"""What equal names add to the weight of a layer when the orders are aligned."""

DEEP = 8
"""The most modules around a layer that are compared, from the outermost in."""

VECTORS = 0.6
"""The weight of a layer without a matrix, such as a norm; one with a matrix has the weight 1."""

FORGETS = 1.0
"""The most that the order speaks against a pair: a model may list its shortcut first or last."""

JUMBLED = 0.25
"""The share of steps against the direction of a count from which on an order is random; a random
one has about a half, and names that are sorted as strings have a tenth: 1, 10, 11, 2."""

ORDINALS = {
    word: number
    for number, group in enumerate(
        (("before", "pre", "first", "in", "a"), ("after", "post", "second", "b"), *"cdef")
    )
    for word in group
}
"""Words that stand for a number, as in Hugging Face's `layernorm_before` or `conv_a`; letters
further on are names, such as q, k and v."""


def order(
    a: Sequence[Layer], b: Sequence[Layer], names: Floats, opposed: NDArray[np.bool_]
) -> Floats:
    """What each pair of layers costs the best alignment of the two sequences, 0 to −FORGETS.

    0: a best alignment contains the pair. −1: with the pair, one layer less has a partner. The best
    alignment through a pair is the best one before it and the best one after it (Hirschberg 1975);
    gaps cost nothing, so a row of the table is a running maximum. It has no pair that is `opposed`.
    """
    import numpy as np

    kinds = {kind: number for number, kind in enumerate({layer.kind for layer in (*a, *b)})}
    rows, columns = (np.array([kinds[layer.kind] for layer in side], dtype=int) for side in (a, b))
    worth = np.array([1 if layer.is_matrix else VECTORS for layer in a], dtype=np.float32)
    gain = np.where(
        (rows[:, None] == columns[None, :]) & ~opposed,
        worth[:, None] * (1 + np.float32(NAMES_IN_ORDER) * names),
        np.float32(0),
    )
    before = _table(gain)
    behind = _table(gain[::-1, ::-1])[::-1, ::-1]
    through: Floats = before[:-1, :-1] + gain + behind[1:, 1:]
    costs: Floats = np.maximum(through - before[-1, -1], np.float32(-FORGETS))
    return costs


def _table(gain: Floats) -> Floats:
    """Element (i, j) is the worth of the best alignment of the first i rows and j columns."""
    import numpy as np

    table = np.zeros((gain.shape[0] + 1, gain.shape[1] + 1), np.float32)
    for row, gains in enumerate(gain):
        best = table[row].copy()
        np.maximum(best[1:], table[row, :-1] + gains, out=best[1:])
        np.maximum.accumulate(best, out=table[row + 1])
    return table


def names_alike(a: Sequence[Layer], b: Sequence[Layer]) -> Floats:
    """How many words two names share, 0 to 1; rare words count more than frequent ones."""
    import numpy as np

    sides = [[words(path) for path in _counted_paths(side)] for side in (a, b)]
    counts = Counter(word for side in sides for name in side for word in name)
    total = len(a) + len(b)
    # Sorted, so that sums of floats, and with them ties, do not hang on the order of a set.
    columns = {word: at for at, word in enumerate(sorted(counts))}
    word_weights = np.array([log(1 + total / counts[word]) for word in columns], np.float32)
    matrices = [_incidence(side, columns) for side in sides]
    weighted = matrices[0].multiply(word_weights[None, :]).tocsr()
    common = np.asarray((weighted @ matrices[1].T).todense(), dtype=np.float32)
    sums = [np.asarray(matrix @ word_weights) for matrix in matrices]
    alike: Floats = 2 * common / np.maximum(sums[0][:, None] + sums[1][None, :], np.float32(1e-6))
    return alike


def opposed_roles(a: Sequence[Layer], b: Sequence[Layer]) -> NDArray[np.bool_]:
    """Whether the names of two layers exclude one another: `k_proj` is no `q`, however alike.

    Of several such words in a path the last one counts: it is nearest to the layer.
    """
    import numpy as np

    opposed = np.zeros((len(a), len(b)), bool)
    for family in OPPOSITES:
        numbers = {word: number for number, word in enumerate(sorted(family))}
        own, other = (
            np.array([_last_role(layer.path, numbers) for layer in side], int) for side in (a, b)
        )
        known = (own[:, None] >= 0) & (other[None, :] >= 0)
        opposed |= known & (own[:, None] != other[None, :])
    (own, says), (other, tells) = (
        map(np.array, zip(*_norm_roles(side), strict=True)) for side in (a, b)
    )
    known = (own[:, None] >= 0) & (other[None, :] >= 0) & (says[:, None] | tells[None, :])
    both: NDArray[np.bool_] = opposed | (known & (own[:, None] != other[None, :]))
    return both


def _norm_roles(side: Sequence[Layer]) -> list[tuple[int, bool]]:
    """For each layer whether it is a transformer block's norm before the attention (0), before the
    MLP (1) or neither (−1), and whether words say so, and not just a number."""
    return [_norm_role(layer.path.rpartition(".")[2]) for layer in side]


def _norm_role(step: str) -> tuple[int, bool]:
    named = words(step) | words(step.replace("_", "."))
    if "norm" not in named and not {"ln", "layernorm"} & named:
        return -1, False
    after = bool({"post", "after"} & named)
    if "attn" in named:
        return int(after), True
    if "mlp" in named or "ff" in named:
        return 1, True
    if {"before", "pre", "input"} & named or after:
        return int(after), False
    number = re.search(r"(\d)$", step)
    return (int(number[1]) - 1, False) if number and number[1] in "12" else (-1, False)


def _last_role(path: str, numbers: Mapping[str, int]) -> int:
    for step in reversed(re.split(r"[./]", path)):
        found = [numbers[word] for word in words(step) if word in numbers]
        if found:
            return found[0] if len(found) == 1 else -1
    return -1


def telling_words(
    a: Sequence[Layer], b: Sequence[Layer], groups: Sequence[tuple[list[int], list[int]]]
) -> Floats:
    """1 where a word that tells layers of one kind apart is in one of the two names alone; else 0.

    Such a word is in the names of some layers of the kind, and of equally many on both sides.
    """
    import numpy as np

    against = np.zeros((len(a), len(b)), np.float32)
    sides = [[words(layer.path) for layer in side] for side in (a, b)]
    for rows, columns in groups:
        own, other = (
            Counter(word for at in members for word in side[at] if "#" not in word)
            for side, members in zip(sides, (rows, columns), strict=True)
        )
        for word, times in own.items():
            if other[word] != times or not times < min(len(rows), len(columns)):
                continue
            has, wants = (
                np.array([word in side[at] for at in members])
                for side, members in zip(sides, (rows, columns), strict=True)
            )
            part = np.ix_(rows, columns)
            against[part] = np.maximum(against[part], has[:, None] != wants[None, :])
    return against


def _counted_paths(side: Sequence[Layer]) -> list[str]:
    """The paths with each number replaced by its rank among the numbers in the same place.

    Some count from 1 where others count from 0, and some leave numbers out. The `2` of `ln2` beside
    `norm` is the second one all the same.
    """
    seen: dict[tuple[str, ...], set[int]] = {}
    places: list[list[tuple[str, tuple[str, ...] | None]]] = []
    for layer in side:
        before: tuple[str, ...] = ()
        place: list[tuple[str, tuple[str, ...] | None]] = []
        steps = re.split(r"(\d{1,18})", layer.path)
        for at, step in enumerate(steps):
            number = at % 2 == 1
            if number:
                around = (*before, steps[at + 1].partition(".")[0])
                seen.setdefault(around, set()).add(int(step))
            place.append((step, around if number else None))
            before = (*before, step)
        places.append(place)
    ranked = {
        around: {
            number: 1 if len(numbers) == 1 and number == 2 and not around[-1] else rank
            for rank, number in enumerate(sorted(numbers))
        }
        for around, numbers in seen.items()
    }
    return [
        "".join(
            step if around is None else str(ranked[around][int(step)]) for step, around in place
        )
        for place in places
    ]


def learned(a: Sequence[Layer], b: Sequence[Layer], sure: Sequence[tuple[int, int]]) -> Floats:
    """How well the words of two names translate each other, 0 to about 1.

    Translations are learned from the sure pairs: two words translate each other as far as they
    occur in the same pairs (Dice).
    """
    import numpy as np
    from scipy.sparse import csr_matrix, diags

    if not sure:
        return np.zeros((len(a), len(b)), np.float32)
    left, right = (_matrix([_steps(layer.path) for layer in side]) for side in (a, b))
    cells, count, dice = _together(left, right, sure)
    # Once is chance, so (count - 1) / count. Many words come together with many others by chance:
    # the square lowers these.
    worth = dice**2 * (count - 1) / count
    table = csr_matrix((worth, cells), shape=(left.shape[1], right.shape[1]))
    scaled = [
        diags(1 / np.sqrt(np.maximum(np.asarray(side.sum(1)).ravel(), 1))) @ side
        for side in (left, right)
    ]
    alike: Floats = np.asarray((scaled[0] @ table @ scaled[1].T).todense(), dtype=np.float32)
    return alike


def modules_alike(
    a: Sequence[Layer], b: Sequence[Layer], sure: Sequence[tuple[int, int]]
) -> Floats:
    """How well the modules around two layers correspond, 0 to 1, by the sure pairs of matrices.

    It is the share of the modules around either layer that have a counterpart around the other.
    """
    import numpy as np

    matrix_pairs = [pair for pair in sure if a[pair[0]].is_matrix]
    if not matrix_pairs:
        return np.zeros((len(a), len(b)), np.float32)
    left, right = (_matrix(_around(side)) for side in (a, b))
    cells, _, dice = _together(left, right, matrix_pairs)
    table = np.zeros((left.shape[1], right.shape[1]), np.float32)
    table[cells] = dice**2
    forward, backward = _shared(table, left, right), _shared(table.T, right, left).T
    share: Floats = np.float32(0.5) * (forward + backward)
    return share


def _shared(table: Floats, left: csr_matrix, right: csr_matrix) -> Floats:
    """For each two layers the mean of the best counterparts around the second layer.

    The mean is over the modules around the first layer; modules with few layers weigh more.
    """
    import numpy as np

    best = np.zeros((len(table), right.shape[0]), np.float32)
    sizes = np.diff(right.indptr)
    for level in range(max(sizes, default=0)):
        at = right.indptr[:-1] + np.minimum(level, np.maximum(sizes - 1, 0))
        np.maximum(best, table[:, right.indices[at]], out=best)
    layers = np.asarray(left.sum(0), dtype=np.float32).ravel()
    # 0.1, so that the whole model, which is around every layer, weighs something.
    weights = (np.log(left.shape[0] / layers) + 0.1).astype(np.float32)
    sums = left @ (weights[:, None] * best)
    means: Floats = (sums / (left @ weights)[:, None]).astype(np.float32)
    return means


def _together(
    left: csr_matrix, right: csr_matrix, pairs: Sequence[tuple[int, int]]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], Floats, Floats]:
    """The (word of one side, word of the other) that occur in the same pairs, as index arrays.

    For each of them also in how many pairs, and the coefficient of Dice (1945), 0 to 1, which is 1
    if neither word occurs in a pair without the other.
    """
    import numpy as np

    rows, columns = (np.array(side, dtype=int) for side in zip(*pairs, strict=True))
    one, other = left[rows], right[columns]
    counts = (one.T @ other).tocoo()
    often = [np.asarray(side.sum(0), dtype=np.float32).ravel() for side in (one, other)]
    cells = counts.row, counts.col
    return cells, counts.data, 2 * counts.data / (often[0][cells[0]] + often[1][cells[1]])


def _steps(path: str) -> list[str]:
    """The parts of a path, and its last two together."""
    parts = path.split(".")
    return list(dict.fromkeys([*parts, "…" + ".".join(parts[-2:])]))


def _around(side: Sequence[Layer]) -> list[list[str]]:
    """For each layer the paths of the modules that it is in, the model itself first.

    A parameter of a module that has layers too is in that module, and a norm is in its unit.
    """
    containers = {layer.path.rpartition(".")[0] for layer in side}
    paths = []
    for layer in side:
        parts = layer.path.split(".")
        parts = (parts if layer.path in containers else parts[:-1])[:DEEP]
        modules = [".".join(parts[:depth]) for depth in range(len(parts) + 1)]
        own_unit = layer.unit and layer.unit not in modules
        paths.append([*modules, layer.unit] if own_unit else modules)
    return paths


def _matrix(side: Sequence[Sequence[str]]) -> csr_matrix:
    vocabulary = dict.fromkeys(word for words_of_layer in side for word in words_of_layer)
    return _incidence(side, {word: at for at, word in enumerate(vocabulary)})


def _incidence(side: Sequence[Iterable[str]], columns: dict[str, int]) -> csr_matrix:
    import numpy as np
    from scipy.sparse import csr_matrix

    rows, words_at = [], []
    for row, words_of_layer in enumerate(side):
        for word in words_of_layer:
            rows.append(row)
            words_at.append(columns[word])
    ones = np.ones(len(rows), np.float32)
    return csr_matrix((ones, (rows, words_at)), shape=(len(side), len(columns)))


def is_sorted(keys: Sequence[tuple[str, str]]) -> bool:
    """Whether (key, dtype) pairs are sorted by key, or by dtype and then by key.

    safetensors writes them by dtype (`prepare` in its tensor.rs), and a script may sort them: then
    their order is not the model's.
    """
    if all(one < other for (one, _), (other, _) in pairwise(keys)):
        return True
    runs = [[key for key, _ in run] for _, run in groupby(keys, key=lambda item: item[1])]
    return len(runs) == len({dtype for _, dtype in keys}) and all(
        run == sorted(run) for run in runs
    )


def is_jumbled(layers: Sequence[Layer]) -> bool:
    """Whether the numbers in the names go up and down at random: the order is not the model's.

    A training script that walks a set, or merges shards as they come, writes such a file. In a
    model's own order the layers whose names differ in numbers alone count up, or all down.
    """
    families: dict[tuple[str, ...], list[tuple[int, ...]]] = {}
    for layer in layers:
        texts, numbers = _pattern(layer.path)
        families.setdefault(texts, []).append(numbers)
    steps = against = 0
    for family in families.values():
        ups = sum(one < other for one, other in pairwise(family))
        steps += len(family) - 1
        against += min(ups, len(family) - 1 - ups)
    return against > JUMBLED * steps


def counted_alike(a: Sequence[Layer], b: Sequence[Layer]) -> Floats:
    """1 where two layers have the same place among equally many that differ in their last number.

    For example `blocks.0.norm2` and `layer.0.ln_b` are both the second of two norms. Else 0. In
    paths of the same depth that number is in the same part: `layer1.1.input_conv` is of the second
    block, and `layer1.0.conv2` is the second of its block.
    """
    import numpy as np

    own, other = ([*_counted(side)] for side in (a, b))
    numbers = {place: at for at, place in enumerate({*own, *other} - {(0, 1)})}
    rows, columns = (
        np.array([numbers.get(place, -1) for place in side], int) for side in (own, other)
    )
    alike = (rows[:, None] == columns[None, :]) & (rows[:, None] >= 0)
    (depths, parts), (other_depths, other_parts) = (
        np.array([_numbered_part(layer.path) for layer in side], int).T for side in (a, b)
    )
    elsewhere = (depths[:, None] == other_depths[None, :]) & (
        parts[:, None] != other_parts[None, :]
    )
    same: Floats = (alike & ~elsewhere).astype(np.float32)
    return same


def _numbered_part(path: str) -> tuple[int, int]:
    """How many parts a path has, and which of them is the last with a number; −1 if none has."""
    parts = path.split(".")
    numbered = (at for at in reversed(range(len(parts))) if "#" in _pattern(parts[at])[0])
    return len(parts), next(numbered, -1)


def _counted(side: Sequence[Layer]) -> list[tuple[int, int]]:
    """For each layer its place among those that differ in the last number, and their number."""
    patterns = [_pattern(layer.path) for layer in side]
    families: dict[tuple[object, ...], set[int]] = {}
    for texts, numbers in patterns:
        families.setdefault((texts, numbers[:-1]), set()).update(numbers[-1:])
    places = []
    for texts, numbers in patterns:
        family = sorted(families[texts, numbers[:-1]])
        places.append((family.index(numbers[-1]) if numbers else 0, max(len(family), 1)))
    return places


def same_direction(a: Sequence[Layer], b: Sequence[Layer]) -> NDArray[np.bool_]:
    """For each two of the pairs (a[i], b[i]) whether their names count in the same direction.

    On either side the two names must differ in numbers alone: `layer1.0`, `layer1.1` and `block1`,
    `block2`.
    """
    numbered, upwards = _directions(a, b)
    same: NDArray[np.bool_] = numbered & (upwards[0] == upwards[1])
    return same


def against_numbers(a: Sequence[Layer], b: Sequence[Layer]) -> NDArray[np.bool_]:
    """For each two of the pairs (a[i], b[i]) whether one side counts up and the other one down.

    On either side the two names must differ in one number alone: names that nest two numbers the
    other way round count in no common direction.
    """
    import numpy as np

    numbered, upwards = _directions(a, b)
    for side in (a, b):
        numbers = [_pattern(layer.path)[1] for layer in side]
        table = np.full((len(side), max(map(len, numbers), default=0)), -1)
        for row, own in zip(table, numbers, strict=True):
            row[: len(own)] = own
        differences = sum(
            (column[:, None] != column[None, :] for column in table.T),
            np.zeros((len(side), len(side)), int),
        )
        numbered &= differences == 1
    against: NDArray[np.bool_] = numbered & (upwards[0] != upwards[1])
    return against


def _directions(
    a: Sequence[Layer], b: Sequence[Layer]
) -> tuple[NDArray[np.bool_], list[NDArray[np.bool_]]]:
    """For each two of the pairs whether their names differ in numbers alone, on both sides; and for
    each side whether they count up."""
    import numpy as np

    numbered = np.ones((len(a), len(a)), bool)
    upwards = []
    for side in (a, b):
        patterns = [_pattern(layer.path) for layer in side]
        texts = {text: at for at, text in enumerate(dict(patterns))}
        ranked = {numbers: at for at, numbers in enumerate(sorted({two for _, two in patterns}))}
        text_ids = np.array([texts[text] for text, _ in patterns], int)
        rank = np.array([ranked[numbers] for _, numbers in patterns], int)
        numbered &= (text_ids[:, None] == text_ids[None, :]) & (rank[:, None] != rank[None, :])
        upwards.append(rank[:, None] < rank[None, :])
    return numbered, upwards


def _pattern(path: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The words of a path with `#` for each number, and the numbers; ORDINALS are numbers too."""
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


def ranks(layers: Sequence[Layer]) -> list[int]:
    """Each layer's place when the names are sorted, with numbers compared as numbers."""
    in_order = sorted(range(len(layers)), key=lambda at: natural_order(layers[at].path))
    places = [0] * len(layers)
    for rank, at in enumerate(in_order):
        places[at] = rank
    return places
