"""Keys without the parts that wrappers put into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from core.checkpoint import StateDict
from core.keys.parts import starts
from core.keys.vocabulary import WRAPPED

MAX_KEYS = 20_000
"""Keys that are looked at."""

MAX_LENGTH = 1_000
"""Letters of a key that is looked at: no model has one of a fifth of them."""

MAX_STARTS = 12
"""Parts of a path that may be a prefix."""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A file's keys without what wrappers put into them: its own key → the shorter one; those that
    are looked at.

    `parts` are the wrappers' parts that were found, in the order in which they first came; `starts`
    say where the parts of each shorter key begin, the first MAX_STARTS of them.
    """

    keys: Mapping[str, str]
    parts: tuple[str, ...]
    starts: Mapping[str, Sequence[int]]


def without_wrappers(key: str) -> str:
    """The key without any wrapper's part; its last part stays in any case."""
    if not any(part in key for part in WRAPPED):
        return key
    *path, leaf = key.split(".")
    return ".".join([*(part for part in path if part not in WRAPPED), leaf])


def unwrap(state_dict: StateDict) -> Unwrapped:
    """Take the wrappers' parts out of every key, unless two keys would become one."""
    looked_at = (key for key in islice(state_dict, MAX_KEYS) if len(key) <= MAX_LENGTH)
    keys = {key: without_wrappers(key) for key in looked_at}
    if len(set(keys.values())) < len(keys):
        return _unwrapped({key: key for key in keys}, ())
    found = dict.fromkeys(
        part
        for key, short in keys.items()
        if key != short
        for part in key.split(".")[:-1]
        if part in WRAPPED
    )
    return _unwrapped(keys, tuple(found))


def _unwrapped(keys: Mapping[str, str], parts: tuple[str, ...]) -> Unwrapped:
    return Unwrapped(keys, parts, {short: starts(short, MAX_STARTS) for short in keys.values()})
