"""Keys without the parts that wrappers add to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from core.checkpoint import StateDict
from core.keys.parts import starts
from core.keys.vocabulary import WRAPPED

MAX_KEYS = 20_000
"""Keys that are examined at most."""

MAX_LENGTH = 1_000
"""Characters in a key that is examined: no known model has one a fifth as long."""

MAX_STARTS = 12
"""Parts of a path that may belong to a prefix."""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A file's keys without the parts that wrappers add.

    `keys` maps the key in the file to the shorter one, for the keys that were examined. `parts` are
    the wrappers' parts that were removed, in the order of their first occurrence. `starts` maps
    each shorter key to the indexes at which its first MAX_STARTS parts begin.
    """

    keys: Mapping[str, str]
    parts: tuple[str, ...]
    starts: Mapping[str, Sequence[int]]


def without_wrappers(key: str) -> str:
    """The key without the wrappers' parts; its last part always stays."""
    for part in WRAPPED:  # a lookup asks for 86,000 keys: any() takes three times as long
        if part in key:
            break
    else:
        return key
    *path, leaf = key.split(".")
    return ".".join([*(part for part in path if part not in WRAPPED), leaf])


def unwrap(state_dict: StateDict) -> Unwrapped:
    """Remove the wrappers' parts from every key, or from none where two keys would become one."""
    examined = (key for key in islice(state_dict, MAX_KEYS) if len(key) <= MAX_LENGTH)
    keys = {key: without_wrappers(key) for key in examined}
    if len(set(keys.values())) < len(keys):
        return _unwrapped({key: key for key in keys}, ())
    removed_parts = dict.fromkeys(
        part
        for key, short in keys.items()
        if key != short
        for part in key.split(".")[:-1]
        if part in WRAPPED
    )
    return _unwrapped(keys, tuple(removed_parts))


def _unwrapped(keys: Mapping[str, str], parts: tuple[str, ...]) -> Unwrapped:
    return Unwrapped(keys, parts, {short: starts(short, MAX_STARTS) for short in keys.values()})
