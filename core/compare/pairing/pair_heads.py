"""Heads with different numbers of classes under different names."""

from __future__ import annotations

from collections.abc import Mapping

from core.checkpoint import TensorEntry
from core.compare.comparison import Pair, PairedBy
from core.keys import leaf, words
from core.wording import count

CONFIDENCE = 0.7
"""Confidence of such a pair. It is a proposal, because only the name and the number of inputs
agree."""


def head_pairs(a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]) -> list[Pair]:
    """Pairs of unpaired tensors of a head that differ only in their first dimension, the classes.

    Each must be the only such tensor on its side.
    """
    heads_a, heads_b = _heads(a), _heads(b)
    return [
        Pair(
            key_a,
            a[key_a],
            b[heads_b[kind]],
            PairedBy.LIKENESS,
            CONFIDENCE,
            f"a head of {count(b[heads_b[kind]].shape[0])} classes in place of "
            + count(a[key_a].shape[0]),
        )
        for kind, key_a in heads_a.items()
        if key_a and heads_b.get(kind) and a[key_a].shape != b[heads_b[kind]].shape
    ]


def _heads(entries: Mapping[str, TensorEntry]) -> dict[tuple[str, tuple[int, ...]], str]:
    """(leaf, all dimensions but the first) → key of a head's tensor; empty where there are
    several."""
    heads: dict[tuple[str, tuple[int, ...]], str] = {}
    for key, entry in entries.items():
        if entry.shape and leaf(key) and "head" in words(key):
            kind = leaf(key), entry.shape[1:]
            heads[kind] = "" if kind in heads else key
    return heads
