"""An index prepared for lookups: which models have a key with a shape."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.architectures import (
    SIMPLE,
    TABLE,
    Architecture,
    Shape,
    Signature,
    TensorSpec,
    input_weights,
)
from core.fit.index.index import Index, Variation
from core.fit.index.option_laws import Law, laws
from core.fit.index.profile_entries import Numbers, members_of_runs, profile_entries
from core.fit.index.shape_forms import Forms
from core.keys import BATCH_COUNTER, without_wrappers

ANY = -1
"""In place of the number of a shape: an option may change the shape."""

COUNTS_AT_ONCE = 1 << 20
"""Pairs and counts that `Lookup.agreements` has in memory at a time: a file may have 20,000 keys
below as many prefixes."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The architectures with one signature whose options change the same things.

    `short` maps keys without wrappers' parts to the model's keys; it includes keys that an option
    adds. `laws` say for each option how dimensions depend on it, as (key, axis) → law. `input_keys`
    are the weights that take the image: their second dimension is its channels. `optional` are the
    tensors that an option removes or adds.
    """

    architectures: tuple[Architecture, ...]
    signature: Signature
    variations: tuple[Variation, ...]
    laws: Mapping[str, Mapping[tuple[str, int], Law]]
    input_keys: tuple[str, ...]
    optional: Mapping[str, TensorSpec]
    short: Mapping[str, str]

    def of_option(self, option: str) -> tuple[Variation, ...]:
        """The variations of one option."""
        return tuple(variation for variation in self.variations if variation.option == option)

    def spec(self, key: str) -> TensorSpec:
        """The spec of a key, also of one that an option removes or adds."""
        return self.signature.get(key) or self.optional[key]


@dataclass(frozen=True, slots=True)
class Agreements:
    """How many of a file's pairs below a prefix a profile has.

    Entry i: the profile `rows[i]` always has `always[i]` of the pairs at `places[i]`, more than 0,
    and with some option `optional[i]` more. Without any option it has `plain[i]` of them.
    """

    rows: Numbers
    places: Numbers
    always: Numbers
    optional: Numbers
    plain: Numbers


class Lookup:
    """The profiles of an index, and for each pair (key, shape) the profiles that have it.

    Keys are without wrappers' parts, since models have such parts of their own too. A pair whose
    shape an option may change has ANY in place of the shape. Batch counters are left out, since
    files of any age may lack them.

    `sizes` counts the pairs that a profile has with every option. `key_ids` numbers keys without
    wrappers' parts, and `shape_ids` shapes. All is arrays, made in a tenth of a second: a
    command makes a lookup for one file.
    """

    def __init__(self, index: Index) -> None:
        self.index = index
        by_contents: dict[object, list[int]] = {}
        for number, (signature, varied) in enumerate(
            zip(index.signature_ids.tolist(), index.variations, strict=True)
        ):
            by_contents.setdefault((signature, varied), []).append(number)
        self._members = list(by_contents.values())
        short = [without_wrappers(key) for key in index.keys]
        self.key_ids = {key: number for number, key in enumerate(dict.fromkeys(short))}
        self.shape_ids = {shape: number for number, shape in enumerate(index.shapes)}
        self._entries = profile_entries(index, [members[0] for members in self._members])
        self._pairs = _Pairs(self, short)
        self.sizes = self._pairs.sizes
        self._profiles: dict[int, Profile] = {}

    def __len__(self) -> int:
        return len(self._members)

    @cached_property
    def forms(self) -> Forms:
        """The forms of the profiles, counted at the first use."""
        return Forms(self.index.shapes, self._entries, len(self))

    def pair(self, key: int, shape: int) -> int:
        """The number of a pair, of the numbers of a key and a shape, or ANY."""
        return key * (len(self.shape_ids) + 1) + shape + 1

    def agreements(self, pairs: Sequence[int], places: Sequence[int]) -> Agreements:
        """How many of the pairs at each place each profile has; `pairs[i]` is at `places[i]`."""
        return self._pairs.agreements(np.array(pairs, np.int64), np.array(places, np.int64))

    def warm(self, pause: float = 0.0) -> None:
        """Decode every profile now, so that the first lookups need not.

        `pause` is the time in seconds between two profiles, for a server's other threads.
        """
        for row in range(len(self)):
            self.profile(row)
            time.sleep(pause)

    def profile(self, row: int) -> Profile:
        """The profile of a row, decoded once."""
        if row not in self._profiles:
            self._profiles[row] = self._decoded(self._members[row])
        return self._profiles[row]

    def _decoded(self, members: Sequence[int]) -> Profile:
        model = self.index.models[members[0]]
        optional = {
            key: model.signature[key]
            for variation in model.variations
            for key in variation.gone
            if key in model.signature
        }
        for variation in model.variations:
            optional.update(variation.added)
        return Profile(
            tuple(self.index.architectures[number] for number in members),
            model.signature,
            model.variations,
            {
                option: laws(model.signature, [v for v in model.variations if v.option == option])
                if TABLE[option].kind == "size" or option in SIMPLE
                else {}
                for option in {v.option for v in model.variations}
            },
            input_weights(model.signature),
            optional,
            {without_wrappers(key): key for key in (*optional, *model.signature)},
        )


CHANNELS = 3
"""Input channels that models have by default."""


class _Pairs:
    """Which profiles have which pairs; each entry is one pair of one profile."""

    def __init__(self, lookup: Lookup, short: Sequence[str]) -> None:
        """`short` are the index's keys without wrappers' parts."""
        index, entries = lookup.index, lookup._entries
        counter = np.array([key.endswith(BATCH_COUNTER) for key in index.keys], np.bool_)
        weight = np.array([key.endswith("weight") for key in index.keys], np.bool_)
        image = np.array([_takes_image(shape) for shape in index.shapes], np.bool_)
        short_ids = np.array([lookup.key_ids[key] for key in short], np.int32)
        any_shape = entries.reshaped | (image[entries.shapes] & weight[entries.keys])
        keys = np.concatenate([entries.keys, entries.added_keys])
        counts = ~counter[keys]
        added = np.full(len(entries.added_keys), ANY)
        self._profiles = len(lookup)
        self._rows = np.concatenate([entries.rows, entries.added_rows])[counts]
        self._keys = short_ids[keys][counts]
        self._shapes = np.concatenate([np.where(any_shape, ANY, entries.shapes), added])[counts]
        self._always = np.concatenate([~entries.optional, added != ANY])[counts]
        self._plain = (np.arange(len(keys)) < len(entries.keys))[counts]
        self._width = len(lookup.shape_ids) + 1
        self._key_count = len(lookup.key_ids)
        self.sizes = np.bincount(self._rows[self._always], minlength=self._profiles)

    def agreements(self, pairs: Numbers, places: Numbers) -> Agreements:
        """As `Lookup.agreements`."""
        known, numbers = np.unique(pairs, return_inverse=True)
        holders, starts = self._holders(known)
        rows, always, plain = self._rows[holders], self._always[holders], self._plain[holders]
        lengths = np.diff(starts)[numbers]
        order = np.argsort(places, kind="stable")
        order = order[lengths[order] > 0]
        lengths, numbers = lengths[order], numbers[order]
        places, place = np.unique(places[order], return_inverse=True)
        sizes = np.bincount(place, lengths, len(places)) + self._profiles
        parts = np.cumsum(sizes) // COUNTS_AT_ONCE
        found: list[tuple[Numbers, ...]] = []
        for part in np.unique(parts):
            first, end = np.searchsorted(parts, (part, part + 1))
            here = slice(*np.searchsorted(place, (first, end)))
            held = members_of_runs(starts[numbers[here]], lengths[here])
            cells = np.repeat(place[here] - first, lengths[here]) * self._profiles + rows[held]
            size = int(end - first) * self._profiles
            in_core, in_more, in_plain = (
                np.bincount(cells[chosen], minlength=size)
                for chosen in (always[held], ~always[held], plain[held])
            )
            some = np.flatnonzero(in_core)
            at, row = np.divmod(some, self._profiles)
            counts = (each[some] for each in (in_core, in_more, in_plain))
            found.append((row, places[first + at], *counts))
        nothing = (np.zeros(0, np.int64),) * 5
        return Agreements(*map(np.concatenate, zip(nothing, *found, strict=True)))

    def _holders(self, pairs: Numbers) -> tuple[Numbers, Numbers]:
        """The entries of each of these pairs, which are sorted: those of pair i are from
        `starts[i]` to `starts[i + 1]`."""
        wanted = np.zeros(self._key_count, np.bool_)
        wanted[pairs // self._width] = True
        at = np.flatnonzero(wanted[self._keys])
        own = self._keys[at].astype(np.int64) * self._width + self._shapes[at] + 1
        number = np.searchsorted(pairs, own)
        known = number < len(pairs)
        known[known] = pairs[number[known]] == own[known]
        at, number = at[known], number[known]
        order = np.argsort(number, kind="stable")
        at, number = at[order], number[order]
        starts = np.searchsorted(number, np.arange(len(pairs) + 1))
        return at, starts


def _takes_image(shape: Shape) -> bool:
    return len(shape) >= 4 and shape[1] == CHANNELS
