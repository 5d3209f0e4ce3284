"""Whether a fused layer of a file has its parts in the order of the model's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_ORDER = re.compile(
    r"(?:^|[._])(?:to_|w)?([qkv]{2,3}|(?:gate|up)_(?:and_)?(?:gate|up))(?=[._\d]|$)"
)
"""A name that spells the order of a fused layer's parts: `qkv`, `to_kv`, `gate_up_proj`."""

_USUAL = {"kqv": "qkv", "kv": "kv", "aegptu": "gate_up"}
"""The letters that such a name has → the usual order, for a model whose name spells none."""

_BY_HEAD = "query_key_value"
"""A name that code of both orders has: each head's q, k and v together, or all of each."""


def other_orders(taken: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The keys of a file, each with the model's, whose names say another order: `kqv` for `qkv`.

    The shapes are the same in any order, so nothing else shows that the parts are exchanged.
    `taken` maps keys of the file to the model's.
    """
    for own, new in taken.items():
        order = _order(own)
        if order:
            letters = "".join(sorted({*order} - {"_"}))
            wanted = _order(new)
            if sorted(wanted) != sorted(order):
                wanted = _USUAL.get(letters, order)
            if order != wanted:
                yield own, new


def unknown_orders(taken: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The keys of a file, each with the model's, of fused layers whose order no name says.

    `query_key_value` is Megatron's, GPT-NeoX's and BLOOM's name, where each head has its q, k and v
    together (`_split_heads` in transformers' modeling_bloom.py); CogVLM's and ChatGLM's layers of
    this name have all of q, then k, then v, as timm's `qkv`. The shapes are the same.
    """
    for own, new in taken.items():
        if _BY_HEAD in own.lower() and _BY_HEAD not in new.lower():
            yield own, new


def _order(key: str) -> str:
    """The order that a name in a path spells; empty if none does, or a letter is there twice."""
    found = _ORDER.search(key.lower())
    order = found[1].replace("_and_", "_") if found else ""
    parts = order.split("_") if "_" in order else [*order]
    return order if len({*parts}) == len(parts) else ""
