"""The first guesses: which models, below which prefix, have most of a file's keys and shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from core.checkpoint import StateDict
from core.fit.index.lookup import ANY, Agreements, Lookup
from core.fit.index.profile_entries import Numbers
from core.keys import BATCH_COUNTER, MAX_STARTS, Unwrapped, copy_preference

Shares = TypeVar("Shares", float, np.ndarray[tuple[int], np.dtype[np.float64]])

PLAINEST = 2
"""The guesses that follow the best ones because they have the most keys without an option."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A profile's row, a prefix in the file, and how well the profile explains what is below it."""

    row: int
    prefix: str
    worth: float


def guesses(state_dict: StateDict, unwrapped: Unwrapped, lookup: Lookup, most: int) -> list[Guess]:
    """The profiles and prefixes that agree best with the file, the best first, about `most`.

    For every prefix of the file's keys at once, it counts the keys below the prefix that a model
    has with the same shape, relative to all keys that either of them has. Keys of the model that
    are missing in the file count twice: a whole model with something next to it is likelier than a
    part of another. Batch counters do not count. The last ones, PLAINEST at most, have the most of
    these keys without an option.
    """
    prefixes: dict[str, int] = {}
    below: list[int] = []
    pairs: list[int] = []
    places: list[int] = []
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
                if shape_id is not None:
                    pairs.append(lookup.pair(known, shape_id))
                    places.append(number)
    agreements = lookup.agreements(pairs, places)
    if not len(agreements.rows):
        return []
    return _ranked(agreements, lookup.sizes, np.array(below), list(prefixes), most)


def _ranked(
    agreements: Agreements,
    sizes: Numbers,
    below: Numbers,
    prefixes: Sequence[str],
    most: int,
) -> list[Guess]:
    """The guesses of the best agreements; `below` counts the file's keys below each prefix."""
    rows, places = agreements.rows, agreements.places
    matched = agreements.always + agreements.optional
    missing = sizes[rows] - agreements.always
    either = sizes[rows] + below[places] - agreements.always + missing
    worths = worth(matched / np.maximum(either, 1), matched / matched.max())
    likely = np.argsort(-worths, kind="stable")[: most * MAX_STARTS]
    by_row: dict[int, Guess] = {}
    plain: dict[Guess, int] = {}
    for at in likely.tolist():
        guess = Guess(int(rows[at]), prefixes[places[at]], float(worths[at]))
        plain[guess] = int(agreements.plain[at])
        other = by_row.get(guess.row)
        if other is None or _order(guess) < _order(other):
            by_row[guess.row] = guess
    ranked = sorted(by_row.values(), key=lambda guess: -guess.worth)
    # What an option may add or remove counts for a guess where it is there, and not against it
    # where it is missing: many are then worth more than the one that has it without an option.
    plainest = sorted(ranked[most:], key=lambda guess: -plain[guess])[:PLAINEST]
    return [*ranked[:most], *plainest]


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
