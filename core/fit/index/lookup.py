"""An index prepared for lookups: which models have a key with a shape."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from core.architectures import SIMPLE, TABLE, Architecture, Signature, TensorSpec
from core.fit.index.index import Index, Variation
from core.fit.index.option_laws import Law, laws
from core.fit.index.shape_forms import Forms
from core.keys import BATCH_COUNTER, without_wrappers

Matrix = Any
"""A SciPy sparse matrix; SciPy has no type stubs."""

ANY = -1
"""In place of the number of a shape: an option may change the shape."""


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


class Lookup:
    """The profiles of an index, and for each pair (key, shape) the profiles that have it.

    Keys are without wrappers' parts, since models have such parts of their own too. A pair whose
    shape an option may change has ANY in place of the shape. Batch counters are left out, since
    files of any age may lack them.

    `core`[profile, pair] is 1 where a profile always has the pair, `more` where only with an
    option; `sizes` counts a profile's pairs in `core`. `pairs` numbers (key id, shape id or ANY),
    `key_ids` keys without wrappers' parts, `shape_ids` shapes.
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
        short_id = [self.key_ids[key] for key in short]
        self._short = dict(zip(index.keys, short, strict=True))
        self.shape_ids = {shape: number for number, shape in enumerate(index.shapes)}
        self.pairs: dict[tuple[int, int], int] = {}
        core_rows: list[int] = []
        core_pairs: list[int] = []
        more_rows: list[int] = []
        more_pairs: list[int] = []
        self.sizes = np.zeros(len(self._members), np.int64)
        counters = {i for i, key in enumerate(index.keys) if key.endswith(BATCH_COUNTER)}
        inputs = {i for i, key in enumerate(index.keys) if key.endswith("weight")}
        images = {
            i for i, shape in enumerate(index.shapes) if len(shape) >= 4 and shape[1] == CHANNELS
        }
        for row, members in enumerate(self._members):
            packed = index.signatures[int(index.signature_ids[members[0]])]
            reshaped, optional, added = _changed_by_options(index, members[0])
            for key, shape in zip(packed.key_ids.tolist(), packed.shape_ids.tolist(), strict=True):
                if key in counters:
                    continue
                any_shape = key in reshaped or (shape in images and key in inputs)
                known = short_id[key], ANY if any_shape else shape
                pair = self.pairs.setdefault(known, len(self.pairs))
                if key in optional:
                    more_rows.append(row)
                    more_pairs.append(pair)
                else:
                    core_rows.append(row)
                    core_pairs.append(pair)
                    self.sizes[row] += 1
            for key in added:
                if key not in counters:
                    more_rows.append(row)
                    more_pairs.append(self.pairs.setdefault((short_id[key], ANY), len(self.pairs)))
        shape = len(self._members), len(self.pairs)
        self.core = _matrix(core_rows, core_pairs, shape)
        self.more = _matrix(more_rows, more_pairs, shape)
        self._profiles: dict[int, Profile] = {}

    def __len__(self) -> int:
        return len(self._members)

    @cached_property
    def forms(self) -> Forms:
        """The forms of the profiles, counted at the first use."""
        return Forms(self.index, self._members)

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
        inputs = tuple(
            key
            for key, spec in model.signature.items()
            if key.endswith("weight") and len(spec.shape) >= 4 and spec.shape[1] == CHANNELS
        )
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
            inputs,
            optional,
            {self._short[key]: key for key in (*optional, *model.signature)},
        )


CHANNELS = 3
"""Input channels that models have by default."""


def _changed_by_options(index: Index, model: int) -> tuple[set[int], set[int], dict[int, None]]:
    """The numbers of the keys whose shapes an option of a model changes, and of those that an
    option removes or adds.

    What an option of structure removes counts as if no option did: most files have it.
    """
    reshaped: set[int] = set()
    gone: set[int] = set()
    added: dict[int, None] = {}
    for variation in index.variations[model]:
        difference = index.differences[variation.difference]
        reshaped.update(difference.changed.tolist())
        if variation.option in SIMPLE:
            gone.update(difference.gone.tolist())
        added.update(dict.fromkeys(difference.added.key_ids.tolist()))
    return reshaped, gone, added


def _matrix(rows: Sequence[int], columns: Sequence[int], shape: tuple[int, int]) -> Matrix:
    ones = np.ones(len(rows), np.int32)
    return sparse.csc_matrix((ones, (rows, columns)), shape=shape)
