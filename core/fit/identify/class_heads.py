"""The layer that tells the classes, where a file has another in its place or elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from core.checkpoint import TensorEntry
from core.fit.index.lookup import Profile
from core.keys import BATCH_COUNTER, without_wrappers

CLASSES = "num_classes"

AUXILIARY = "aux_"
"""What the options of auxiliary heads begin with: torchvision's `aux_logits`, `aux_loss`."""

HEADLIKE = re.compile(
    r"(?:^|[._])(?:heads?|fc|classif\w*|cls|linear|logits?|output|out|final|\d+)(?=[._\d]|$)"
)
"""In the path of a layer beside a backbone that tells its classes: `head`, `classifier`, the `1` of
a Sequential."""

Placed = tuple[str, TensorEntry]
"""A tensor with its path, without wrappers' parts."""


def own_head(profile: Profile) -> Mapping[str, str]:
    """The tensors whose first dimension is the number of classes, by the word at their ends
    (`weight`, `bias`); none where several layers have it, auxiliary heads apart."""
    auxiliary = auxiliary_keys(profile)
    keys = [key for key, axis in profile.laws.get(CLASSES, {}) if not axis and key not in auxiliary]
    if len({key.rpartition(".")[0] for key in keys}) != 1:
        return {}
    return {key.rpartition(".")[2]: key for key in keys}


def auxiliary_keys(profile: Profile) -> frozenset[str]:
    """The tensors of auxiliary heads, which an option takes away or adds."""
    return frozenset(
        key
        for each in profile.variations
        if each.option.startswith(AUXILIARY)
        for key in (*each.gone, *each.added)
    )


def is_replaced(profile: Profile, found: Mapping[str, TensorEntry], rest: Sequence[Placed]) -> bool:
    """Whether what has the head's key is a part of another head: matrices of no key of the model
    stand beside it, as in a head of two layers. `rest` are paths below the model's prefix."""
    weight = own_head(profile).get("weight", "")
    return weight in found and any(len(entry.shape) > 1 for _, entry in _within(weight, rest))


def other_head(
    profile: Profile, prefix: str, inside: Sequence[Placed], outside: Sequence[Placed]
) -> dict[str, TensorEntry]:
    """The one layer that can be the head that is missing: the model's key → the file's tensor.

    It takes as many inputs, and stands alone in the head's place below the prefix, as `fc.1.weight`
    for `fc.weight`, or else alone in a module beside the network that is called as heads are. Where
    a norm or another layer stands with it, the network is another one, and nothing is found.
    """
    head = own_head(profile)
    weight = head.get("weight")
    if weight is None:
        return {}
    width = profile.spec(weight).shape[1:]
    within = _within(weight, inside)
    if within:
        return _layer(head, width, within)
    beside: dict[str, list[Placed]] = {}
    for path, entry in outside:
        beside.setdefault(_module_beside(path, prefix), []).append((path, entry))
    wide = [
        (module, placed)
        for module, placed in beside.items()
        if any(set(width) & set(entry.shape) for _, entry in placed)
    ]
    if len(wide) != 1 or not HEADLIKE.search(wide[0][0]):
        return {}
    return _layer(head, width, wide[0][1])


def _module_beside(path: str, prefix: str) -> str:
    """The outermost module of a path that the network below the prefix does not stand in."""
    parts, own = path.split("."), prefix.split(".")
    common = next((i for i, part in enumerate(parts) if own[i : i + 1] != [part]), len(parts))
    return ".".join(parts[: common + 1])


def _within(weight: str, placed: Iterable[Placed]) -> list[Placed]:
    """What stands below the outermost module of the head."""
    container, dot, _ = without_wrappers(weight).partition(".")
    return [
        one
        for one in placed
        if dot and one[0].startswith(container + dot) and not one[0].endswith(BATCH_COUNTER)
    ]


def _layer(
    head: Mapping[str, str], width: tuple[int, ...], placed: Sequence[Placed]
) -> dict[str, TensorEntry]:
    """A weight of this width and its bias, where these are all; else nothing."""
    named = {path.rpartition(".")[2]: (path.rpartition(".")[0], entry) for path, entry in placed}
    if "weight" not in named or len(named) < len(placed) or not named.keys() <= head.keys():
        return {}
    modules = {module for module, _ in named.values()}
    rows = {entry.shape[:1] for _, entry in named.values()}
    if len(modules) > 1 or len(rows) > 1 or named["weight"][1].shape[1:] != width:
        return {}
    return {head[name]: entry for name, (_, entry) in named.items()}
