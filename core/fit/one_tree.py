"""Whether the tensors that a model gets are of one module tree in the file."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from core.keys import names_slow_copy, without_wrappers
from core.wording import count, counted, listed


def torn_tree(taken: Mapping[str, str]) -> str:
    """Which module tree of the model is put together from several of the file, in a sentence.

    `taken` maps the file's keys to those of the model's parameters. Blocks of one module, such as
    `blocks.0` and `blocks.1`, come from below one prefix; a head may come from elsewhere. And no
    tensor comes from an average over training unless all do. Empty if nothing is torn.
    """
    followers = [key for key in taken if names_slow_copy(key)]
    if 0 < len(followers) < len(taken):
        return (
            f"{counted(len(followers), 'tensor')}, such as `{followers[0]}`, would be taken from "
            f"an average over training, the other {count(len(taken) - len(followers))} would not."
        )
    prefixes: dict[str, dict[str, None]] = defaultdict(dict)
    for own, key in taken.items():
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


def _before(tail: str, own: str) -> str | None:
    """What is before a block's path in the file's key, with `#` for numbers.

    None if the key does not end in that path, or the path begins with no number.
    """
    if not re.match(r"\d+\.", tail) or not (own == tail or own.endswith(f".{tail}")):
        return None
    return re.sub(r"\d+", "#", own[: -len(tail)])
