"""Heads of other sizes under other names."""

from __future__ import annotations

from collections.abc import Mapping

from core.checkpoint import TensorEntry
from core.compare.comparison import Pair, PairedBy
from core.keys import leaf, words

CONFIDENCE = 0.7
"""Of such a pair: a proposal, since nothing but the name and the inputs' number tells."""


def head_pairs(a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]) -> list[Pair]:
    """The only tensors that are alone in A and in B, belong to a module that is called a head, and
    differ in their first dimension alone: another number of classes."""
    heads_a, heads_b = _heads(a), _heads(b)
    return [
        Pair(
            key_a,
            a[key_a],
            b[heads_b[kind]],
            PairedBy.LIKENESS,
            CONFIDENCE,
            f"a head of {b[heads_b[kind]].shape[0]:,} classes in place of {a[key_a].shape[0]:,}",
        )
        for kind, key_a in heads_a.items()
        if key_a and heads_b.get(kind) and a[key_a].shape != b[heads_b[kind]].shape
    ]


def _heads(entries: Mapping[str, TensorEntry]) -> dict[tuple[str, tuple[int, ...]], str]:
    """By leaf and all dimensions but the first, the key; empty where there are several."""
    found: dict[tuple[str, tuple[int, ...]], str] = {}
    for key, entry in entries.items():
        if entry.shape and leaf(key) and "head" in words(key):
            kind = leaf(key), entry.shape[1:]
            found[kind] = "" if kind in found else key
    return found
