"""The signatures of all profiles as arrays, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.architectures import SIMPLE
from core.fit.index.index import Index, Integers

Numbers = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ProfileEntries:
    """Entry i is a tensor of the profile `rows[i]`: its key and shape as numbers of the index.

    `reshaped` says whether an option changes the tensor's shape. `optional` says whether an option
    of everyday use removes the tensor, and `varied` whether one removes or changes it: what an
    option of structure removes counts as if no option did, since most files have it. `added_rows`
    and `added_keys` are the keys that options add to profiles.
    """

    rows: Numbers
    keys: Integers
    shapes: Integers
    reshaped: Mask
    optional: Mask
    varied: Mask
    added_rows: Numbers
    added_keys: Numbers


def profile_entries(index: Index, models: Sequence[int]) -> ProfileEntries:
    """The entries of these models of an index; row i is `models[i]`."""
    signatures = [index.signatures[int(index.signature_ids[model])] for model in models]
    reshaped, optional, varied = (_Marks(len(index.keys)) for _ in range(3))
    added: list[tuple[int, int]] = []
    for row, (model, signature) in enumerate(zip(models, signatures, strict=True)):
        differences = [index.differences[each.difference] for each in index.variations[model]]
        reshaped.add(signature.key_ids, [each.changed for each in differences])
        simple = [
            index.differences[each.difference]
            for each in index.variations[model]
            if each.option in SIMPLE
        ]
        gone = [each.gone for each in simple]
        optional.add(signature.key_ids, gone)
        varied.add(signature.key_ids, [*gone, *(each.changed for each in simple)])
        keys = [key for each in differences for key in each.added.key_ids.tolist()]
        added.extend((row, key) for key in dict.fromkeys(keys))
    lengths = [len(signature.key_ids) for signature in signatures]
    added_rows, added_keys = np.array(added, np.int64).reshape(-1, 2).T
    return ProfileEntries(
        np.repeat(np.arange(len(models)), lengths),
        _joined([signature.key_ids for signature in signatures]),
        _joined([signature.shape_ids for signature in signatures]),
        reshaped.joined(),
        optional.joined(),
        varied.joined(),
        added_rows,
        added_keys,
    )


def members_of_runs(starts: Numbers, lengths: Numbers) -> Numbers:
    """The numbers of all runs, one after the other; run i has `lengths[i]` from `starts[i]`."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


class _Marks:
    """Which entries have one of some keys, one profile after the other."""

    def __init__(self, keys: int) -> None:
        self._marked = np.zeros(keys, np.bool_)
        self._masks: list[Mask] = []

    def add(self, entries: Integers, keys: Sequence[Integers]) -> None:
        """The next profile's entries, and the arrays of keys to find among them."""
        some = [each for each in keys if len(each)]
        if not some:
            self._masks.append(np.zeros(len(entries), np.bool_))
            return
        # A table of all keys that is marked and unmarked is ten times faster than np.isin.
        marks = np.concatenate(some)
        self._marked[marks] = True
        self._masks.append(self._marked[entries])
        self._marked[marks] = False

    def joined(self) -> Mask:
        return np.concatenate([np.zeros(0, np.bool_), *self._masks])


def _joined(arrays: Sequence[Integers]) -> Integers:
    return np.concatenate([np.zeros(0, np.int32), *arrays])
