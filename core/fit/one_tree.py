"""Whether the tensors that a model gets are of one module tree in the file."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from core.keys import OUTPUT_MODULES, names_slow_copy, without_wrappers
from core.wording import count, counted, listed


def torn_tree(taken: Mapping[str, str]) -> str:
    """Which module tree of the model is put together from several of the file, in a sentence.

    `taken` maps the file's keys to those of the model's parameters. Blocks of one module, such as
    `blocks.0` and `blocks.1`, come from below one prefix; a head, and the last layer of a head of
    several, such as `classifier.6`, may come from elsewhere. And no tensor comes from an average
    over training unless all do. Empty if nothing is torn.
    """
    followers = [key for key in taken if names_slow_copy(key)]
    if 0 < len(followers) < len(taken):
        return (
            f"{counted(len(followers), 'tensor')}, such as `{followers[0]}`, would be taken from "
            f"an average over training, the other {count(len(taken) - len(followers))} would not."
        )
    prefixes: dict[str, dict[str, None]] = defaultdict(dict)
    last = _last_layers(taken.values())
    for own, key in taken.items():
        if key.rpartition(".")[0] in last:
            continue
        module, _, tail = key.partition(".")
        prefix = _before(tail, without_wrappers(own).replace("/", "."))
        if prefix is not None:
            prefixes[module][prefix] = None
    for module, places in prefixes.items():
        if len(places) > 1:
            return (
                f"The model's `{module}` would be put together from several places of the file: "
                f"{listed([f'`{place}`' for place in places])}."
            )
    return ""


def _last_layers(keys: Iterable[str]) -> frozenset[str]:
    """The last layer of each head that is a list of layers: `classifier.6` of a VGG."""
    last: dict[str, int] = {}
    for key in keys:
        head, *rest = key.split(".")
        if head in OUTPUT_MODULES and len(rest) == 2 and rest[0].isdecimal():
            last[head] = max(last.get(head, 0), int(rest[0]))
    return frozenset(f"{head}.{number}" for head, number in last.items())


def _before(tail: str, own: str) -> str | None:
    """What is before a block's path in the file's key, with `#` for numbers.

    None if the key does not end in that path, or the path begins with no number.
    """
    if not re.match(r"\d+\.", tail) or not (own == tail or own.endswith(f".{tail}")):
        return None
    return re.sub(r"\d+", "#", own[: -len(tail)])
