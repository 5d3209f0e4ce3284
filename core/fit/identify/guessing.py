"""The first guesses: which models, below which prefix, have most of a file's keys and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import sparse

from core.checkpoint import StateDict
from core.fit.index.lookup import ANY, Lookup
from core.keys import BATCH_COUNTER, MAX_STARTS, Unwrapped, copy_preference

Shares = TypeVar("Shares", float, np.ndarray[tuple[int], np.dtype[np.float64]])


@dataclass(frozen=True, slots=True)
class Guess:
    """A profile's row, a prefix in the file, and how well the profile explains what is below it."""

    row: int
    prefix: str
    worth: float


def guesses(state_dict: StateDict, unwrapped: Unwrapped, lookup: Lookup, most: int) -> list[Guess]:
    """The profiles and prefixes that agree best with the file, the best first, at most `most`.

    For every prefix of the file's keys at once, it counts the keys below the prefix that a model
    has with the same shape, relative to all keys that either of them has. Keys of the model that
    are missing in the file count twice: a whole model with something next to it is likelier than a
    part of another. Batch counters do not count.
    """
    prefixes: dict[str, int] = {}
    below: list[int] = []
    rows: list[int] = []
    columns: list[int] = []
    for key, short in unwrapped.keys.items():
        if key.endswith(BATCH_COUNTER):
            continue
        shape = lookup.shape_ids.get(state_dict[key].shape)
        for start in unwrapped.starts[short]:
            number = prefixes.setdefault(short[:start], len(prefixes))
            if number == len(below):
                below.append(0)
            below[number] += 1
            known = lookup.key_ids.get(short[start:])
            if known is None:
                continue
            for shape_id in (shape, ANY):
                pair = None if shape_id is None else lookup.pairs.get((known, shape_id))
                if pair is not None:
                    rows.append(pair)
                    columns.append(number)
    if not rows:
        return []
    # One sparse product scores all profiles below all prefixes: (profiles × pairs) @ (pairs ×
    # prefixes) counts the pairs of key and shape that both have.
    pairs, places = np.unique(np.array(rows), return_inverse=True)
    file = sparse.csr_matrix(
        (np.ones(len(rows), np.int32), (places, columns)), shape=(len(pairs), len(prefixes))
    )
    core = (lookup.core[:, pairs] @ file).tocoo()
    more = (lookup.more[:, pairs] @ file).tocsr()
    return _ranked(core, more, lookup, np.array(below), list(prefixes), most)


def _ranked(
    core: sparse.coo_matrix,
    more: sparse.csr_matrix,
    lookup: Lookup,
    below: np.ndarray[tuple[int], np.dtype[np.int64]],
    prefixes: Sequence[str],
    most: int,
) -> list[Guess]:
    matched = core.data + np.asarray(more[core.row, core.col]).ravel()
    missing = lookup.sizes[core.row] - core.data
    either = lookup.sizes[core.row] + below[core.col] - core.data + missing
    worths = worth(matched / np.maximum(either, 1), matched / matched.max())
    likely = np.argsort(-worths, kind="stable")[: most * MAX_STARTS]
    by_row: dict[int, Guess] = {}
    for at in likely.tolist():
        guess = Guess(int(core.row[at]), prefixes[core.col[at]], float(worths[at]))
        other = by_row.get(guess.row)
        if other is None or _order(guess) < _order(other):
            by_row[guess.row] = guess
    return sorted(by_row.values(), key=lambda guess: -guess.worth)[:most]


def worth(score: Shares, part: Shares) -> Shares:
    """How well a model explains a file, 0 to 1.

    `score` is the share of the keys of both sides that agree. `part` is the number of these keys,
    relative to the most that any model has. It tells a model from its backbone: the layers next to
    the backbone are not below its prefix, so they do not lower its `score`.
    """
    return score * part


def _order(guess: Guess) -> tuple[object, ...]:
    """A sort key: the best first, then the copy that is used after training."""
    return -guess.worth, *copy_preference(guess.prefix)
