"""A prefix of one side's keys, such as `module.`, and how many keys pair without it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from core.checkpoint import TensorEntry
from core.compare.comparison import stripped

MAX_DEPTH = 4
"""The most parts of a prefix: `_orig_mod.module.model.` has three."""

MAX_CANDIDATES = 6
"""Prefixes tried on each side."""

MIN_SHARE = 0.1
"""The smallest share of a side's keys that begin with a wrapper's prefix."""

MIN_GAIN = 0.2
"""The smallest share of the keys that must newly pair before a prefix is stripped on both sides.
Two modules of different names are not wrappers."""


@dataclass(frozen=True, slots=True)
class PrefixPairing:
    """The prefixes to strip, and how many keys pair `before` and `after` that."""

    strip_a: str
    strip_b: str
    before: int
    after: int


def prefix_pairing(
    a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]
) -> PrefixPairing | None:
    """The prefixes whose stripping pairs the most keys of equal shape; None where none helps.

    Every leading module path with at least MIN_SHARE of a side's keys is tried, whether it is a
    known wrapper or not. Of two choices that pair equally many, the one that strips less wins.
    """
    before = len(a.keys() & b.keys())
    candidates_a, candidates_b = _candidates(a), _candidates(b)
    shapes_a = {prefix: _shapes(a, prefix) for prefix in candidates_a}
    shapes_b = {prefix: _shapes(b, prefix) for prefix in candidates_b}
    best: PrefixPairing | None = None
    best_rank = (len(shapes_a[""] & shapes_b[""]), 0)
    for strip_a in candidates_a:
        for strip_b in candidates_b:
            fitting = len(shapes_a[strip_a] & shapes_b[strip_b])
            rank = (fitting, -len(strip_a) - len(strip_b))
            if rank <= best_rank:
                continue
            after = len(stripped(a, strip_a).keys() & stripped(b, strip_b).keys())
            least = max(2, MIN_GAIN * min(len(a), len(b))) if strip_a and strip_b else 1
            if after - before >= least:
                best_rank = rank
                best = PrefixPairing(strip_a, strip_b, before, after)
    return best


def _candidates(entries: Mapping[str, TensorEntry]) -> list[str]:
    """The empty prefix, and the leading module paths of the most keys."""
    votes: Counter[str] = Counter()
    for key in entries:
        end = -1
        for _ in range(MAX_DEPTH):
            end = key.find(".", end + 1)
            if end < 0:
                break
            votes[key[: end + 1]] += 1
    least = MIN_SHARE * len(entries)
    common = [prefix for prefix, count in votes.most_common(MAX_CANDIDATES) if count >= least]
    return ["", *common]


def _shapes(entries: Mapping[str, TensorEntry], prefix: str) -> set[tuple[str, tuple[int, ...]]]:
    return {(key, entry.shape) for key, entry in stripped(entries, prefix).items()}
