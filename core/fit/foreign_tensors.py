"""Tensors of another part of a file, such as a decoder, that would fill a hole in a network."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from core.keys import (
    OUTPUT_MODULES,
    begins_beside,
    block_of,
    network_prefix,
    without_wrappers,
)

OWN_NAMED = 0.8
"""A file with this share of a model's tensors under the model's own names has them all so."""

LEAST_BLOCKS = 3
"""The least blocks of one kind whose tensors are looked for in one place."""

_NUMBERS = re.compile(r"(?:\d+[a-z]?(?![a-z]))+")
"""The numbers of a path, and the letters that Caffe's blocks have beside them: `res3b12`, `2a`."""

_LAST_NORM = re.compile(r"(?:\w+_)?norm\.(?:weight|bias)")
"""A model's norm before its head, which may be beside the network as a head is."""


def foreign_tensor(taken: Mapping[str, str]) -> str:
    """A tensor that would be taken from another part of the file, in a sentence; empty if none is.

    `taken` maps the file's keys to those of the model's parameters. A head and the norm before it
    may be beside the network. Any other tensor is of another part in three cases: its path begins
    with a word for one, as `decoder.cls_token` does, where most paths do not; most keys have the
    model's own names below one prefix, and it is below another, or fills a block from outside
    the blocks; or most blocks have their tensors below one path, and it is below another.
    """
    paths = {without_wrappers(own): key for own, key in taken.items()}
    pairs = [*_in_other_parts(paths), *_in_other_blocks(paths)]
    if not pairs:
        return ""
    own, key = pairs[0]
    return (
        f"`{own}` would be taken for the model's `{key}`, but its path is not that of the "
        "network's other tensors: it may be another part's."
    )


def _in_other_parts(taken: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The keys outside the network by their first words, or by the model's own names."""
    fronts = Counter(own[: -len(key)] for own, key in taken.items() if _ends_with(own, key))
    front, named = fronts.most_common(1)[0] if fronts else ("", 0)
    own_named = named >= OWN_NAMED * len(taken)
    root = front if own_named else network_prefix(taken)
    for own, key in taken.items():
        if _may_be_beside(key):
            continue
        path = _below(root, own) if "." in own else own.replace("_", ".")
        if begins_beside(path) and not begins_beside(key):
            yield own, key
        elif own_named and not _ends_with(own, key):
            outermost = key.partition(".")[0]
            beside_blocks = block_of(key) and path.partition(".")[0] != outermost
            if beside_blocks or not own.startswith(root):
                yield own, key


def _in_other_blocks(taken: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The keys of blocks that are below another path than those of most blocks of their kind.

    Blocks of one kind are in one list and have the same layers: the first block of a ResNet's stage
    is of another kind than the others.
    """
    blocks: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for own, key in taken.items():
        if (block := block_of(key)) and not _may_be_beside(key):
            blocks[block][key[len(block) :]].append(own)
    kinds: dict[object, list[str]] = defaultdict(list)
    for block, tails in blocks.items():
        kinds[block.rpartition(".")[0], frozenset(tails)].append(block)
    for alike in kinds.values():
        if len(alike) < LEAST_BLOCKS:
            continue
        for tail in blocks[alike[0]]:
            places = {block: _places(blocks[block][tail]) for block in alike}
            usual, _ = Counter(places.values()).most_common(1)[0]
            for block, place in places.items():
                own = blocks[block][tail][0]
                if place != usual and not _ends_with(own, block + tail):
                    yield own, block + tail


def _may_be_beside(key: str) -> bool:
    heads = not OUTPUT_MODULES.isdisjoint(key.split("."))
    return heads or _LAST_NORM.fullmatch(key) is not None


def _ends_with(own: str, key: str) -> bool:
    """Whether the path ends with the key, with dots or without."""
    own, key = (path.replace("/", "_").replace(".", "_") for path in (own, key))
    return own == key or own.endswith(f"_{key}")


def _below(root: str, own: str) -> str:
    """The path without the modules that it shares with the root."""
    parts, common = own.split("."), root.split(".")[:-1]
    same = 0
    while same < min(len(parts) - 1, len(common)) and parts[same] == common[same]:
        same += 1
    return ".".join(parts[same:])


def _places(keys: Iterable[str]) -> frozenset[str]:
    """The lists that blocks are in, as `encoder.layer.#`; a key in none stands for itself.

    What is below may differ: an adapter puts `base_layer` into the layers that it adapts.
    """
    paths = [_NUMBERS.sub("#", key).split(".") for key in keys]
    return frozenset(".".join(path[: path.index("#")] if "#" in path else path) for path in paths)
