"""An alignment as a recipe: transpose, fuse, drop, rename, split and reshape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from core.fit.align.alignment import AlignedPair, Alignment
from core.fixes import MAX_TEXT, Drop, Fix, Fuse, Recipe, RenameTable, Reshape, Split, Transpose


def alignment_recipe(alignment: Alignment, least: float = 0.0) -> Recipe:
    """The recipe that renames the pairs with a confidence of `least` or more.

    A key without a pair is dropped if another tensor gets its name. Parts are fused if the file has
    them apart, and split if the architecture does.
    """
    pairs = [pair for pair in alignment.pairs if pair.confidence >= least]
    others = [
        *alignment.unpaired,
        *(pair.key for pair in alignment.pairs if pair.confidence < least),
    ]
    keys = [pair.key for pair in pairs]
    fixes: list[Fix] = []
    turned = list(dict.fromkeys(pair.key for pair in pairs if pair.transposed))
    fixes += [Transpose(pattern, "regex") for pattern in _patterns(turned, {*keys, *others})]
    joins, cuts, table = _names(pairs, others)
    fixes += joins
    targets = {new for _, new in table} | {pair.wanted for pair in pairs}
    in_the_way = [key for key in others if key in targets]
    fixes += [Drop(pattern, "regex") for pattern in _alternatives(in_the_way)]
    changed = tuple((old, new) for old, new in table if old != new)
    fixes += [RenameTable(changed)] if changed else []
    fixes += cuts
    if any(pair.reshaped for pair in pairs):
        fixes.append(Reshape())
    return Recipe.of(fixes)


def _names(
    pairs: Sequence[AlignedPair], others: Sequence[str]
) -> tuple[list[Fuse], list[Split], list[tuple[str, str]]]:
    """The fusing fixes, the splitting fixes, and the table of (old, new) keys between them."""
    by_wanted: dict[str, list[str]] = {}
    by_key: dict[str, list[str]] = {}
    for pair in pairs:
        by_wanted.setdefault(pair.wanted, []).append(pair.key)
        by_key.setdefault(pair.key, []).append(pair.wanted)
    joins: dict[Fuse, None] = {}
    cuts: dict[Split, None] = {}
    table: list[tuple[str, str]] = []
    for wanted, keys in by_wanted.items():
        if len(keys) > 1:
            name = _whole_name(len(keys), {*by_key, *others})
            parts, whole = _parted(keys, name)
            joins[Fuse(parts, name)] = None
            table.append((whole, wanted))
    for key, places in by_key.items():
        if len(places) > 1:
            name = _whole_name(len(places), {*by_wanted, *others})
            parts, whole = _parted(places, name)
            cuts[Split(name, parts)] = None
            table.append((key, whole))
        elif len(by_wanted[places[0]]) == 1:
            table.append((key, places[0]))
    return list(joins), list(cuts), table


def _parted(keys: Sequence[str], name: str) -> tuple[tuple[str, ...], str]:
    """The parts of the path in which the keys differ, and the key with `name` in their place."""
    paths = [key.split(".") for key in keys]
    at = next(at for at, steps in enumerate(zip(*paths, strict=False)) if len(set(steps)) > 1)
    whole = [*paths[0][:at], name, *paths[0][at + 1 :]]
    return tuple(path[at] for path in paths), ".".join(whole)


def _whole_name(count: int, keys: Iterable[str]) -> str:
    """The name of a tensor of so many parts between two steps, unused in every path."""
    name = "qkv" if count == 3 else "gate_up"
    taken = {step for key in keys for step in key.split(".")}
    while name in taken:
        name += "_fused"
    return name


def _patterns(chosen: Sequence[str], keys: Iterable[str]) -> list[str]:
    """Regexes that match the chosen keys and no others, by the ends of the keys if these do."""
    tails = list(dict.fromkeys(".".join(key.split(".")[-2:]) for key in chosen))
    if chosen:
        pattern = rf"(?:^|\.)(?:{'|'.join(map(re.escape, tails))})$"
        matched = {key for key in keys if re.search(pattern, key)}
        if matched == set(chosen) and len(pattern) <= MAX_TEXT:
            return [pattern]
    return _alternatives(chosen)


def _alternatives(keys: Sequence[str]) -> list[str]:
    """Regexes for whole keys, as many keys in each as MAX_TEXT characters allow."""
    groups: list[list[str]] = []
    room = 0
    for escaped in map(re.escape, keys):
        if len(escaped) + 1 > room:
            groups.append([])
            room = MAX_TEXT - len("^(?:)$")
        groups[-1].append(escaped)
        room -= len(escaped) + 1
    return [f"^(?:{'|'.join(group)})$" for group in groups]
