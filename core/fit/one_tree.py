"""Whether the tensors that a model gets are of one module tree in the file."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from core.checkpoint import StateDict
from core.keys import (
    MAX_STARTS,
    OUTPUT_MODULES,
    names_slow_copy,
    network_prefix,
    starts,
    without_wrappers,
)
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


def of_another_tree(
    state_dict: StateDict, taken: Collection[str], left: Iterable[str]
) -> tuple[str, tuple[str, ...]]:
    """A layer taken from beside the network that may be of another one there, in a sentence.

    `taken` are the file's keys of the model's parameters, and `left` those that are left out. The
    head may come from beside the network. But it may be another network's if layers that the
    network has too are left out beside it: `fc` next to `layer4`, where `backbone.layer4` is taken.
    And a norm is not the network's if that has its own, which is left out. Returned with the keys
    that are left out; both are empty if nothing speaks for another network.
    """
    root = network_prefix(taken)
    beside = [key for key in taken if not key.startswith(root)]
    if not (root and beside):
        return "", ()
    gone = {key: state_dict[key].shape for key in left if not names_slow_copy(key)}
    for key in beside:
        replaced = [*_replaced(key, state_dict, gone, root)]
        if replaced:
            layer, own = (path.rpartition(".")[0] for path in (key, replaced[0]))
            return f"`{layer}` is taken although `{root}*` has its own `{own}.*`.", tuple(replaced)
    twins = {
        key: root + key[start:]
        for key, shape in gone.items()
        if shape and not key.startswith(root)
        for start in starts(key, MAX_STARTS)
        if root + key[start:] in taken and state_dict[root + key[start:]].shape == shape
    }
    if not twins:
        return "", ()
    key, own = next(iter(twins.items()))
    place = key[: len(key) - len(own) + len(root)]
    block = own[len(root) :].partition(".")[0]
    layer = beside[0].rpartition(".")[0]
    return (
        f"`{layer}` may belong to `{place}{block}.*`, which is left out, and not to "
        f"`{root}{block}.*`, which is taken.",
        tuple(twins),
    )


def _replaced(key: str, state_dict: StateDict, gone: Collection[str], root: str) -> Iterator[str]:
    """The network's own tensor in whose place the one with the key is taken, unless it is a head's.

    Both layers of outputs may be trained ones: an old head and the one after it.
    """
    module = key.rpartition(".")[0]
    weight = state_dict.get(f"{module}.weight")
    if weight is not None and len(weight.shape) > 1:
        return
    for start in starts(key, MAX_STARTS):
        own = root + key[start:]
        if own in gone and state_dict[own].shape == state_dict[key].shape != ():
            yield own
