"""The classification head, where a file has another head in its place or at another path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.checkpoint import TensorEntry
from core.fit.index.lookup import Profile
from core.fit.left_out_heads import HEADLIKE
from core.keys import BATCH_COUNTER, names_projected_outputs, without_wrappers

CLASSES = "num_classes"

AUXILIARY = "aux_"
"""Prefix of the options for auxiliary heads: torchvision's `aux_logits` and `aux_loss`."""

ShortEntry = tuple[str, TensorEntry]
"""A tensor's path, without the parts that wrappers add, and its entry."""


def own_head(profile: Profile) -> Mapping[str, str]:
    """The head's keys by their last part: {"weight": "fc.weight", "bias": "fc.bias"}.

    The head's tensors have as many rows as there are classes. Empty if several layers have such
    tensors, not counting auxiliary heads.
    """
    auxiliary = auxiliary_keys(profile)
    keys = [key for key, axis in profile.laws.get(CLASSES, {}) if not axis and key not in auxiliary]
    if len({key.rpartition(".")[0] for key in keys}) != 1:
        return {}
    return {key.rpartition(".")[2]: key for key in keys}


def auxiliary_keys(profile: Profile) -> frozenset[str]:
    """The keys of auxiliary heads, which an option removes or adds."""
    return frozenset(
        key
        for variation in profile.variations
        if variation.option.startswith(AUXILIARY)
        for key in (*variation.gone, *variation.added)
    )


def is_replaced(
    profile: Profile, sources: Mapping[str, TensorEntry], rest: Sequence[ShortEntry]
) -> bool:
    """Whether the tensor under the head's key is a part of another head.

    It is if the head's module also has matrices that the model does not know, as a head of two
    layers has. `rest` are the tensors below the model's prefix that have no key of the model.
    """
    weight = own_head(profile).get("weight", "")
    return weight in sources and any(len(entry.shape) > 1 for _, entry in _within(weight, rest))


def other_head(
    profile: Profile, prefix: str, inside: Sequence[ShortEntry], outside: Sequence[ShortEntry]
) -> dict[str, TensorEntry]:
    """The one layer that can be the missing head, as the model's key → the file's tensor.

    The layer takes as many inputs as the head. It is alone in the head's module, as `fc.1.weight`
    for `fc.weight`, or alone in a module of its own, beside the model's modules or next to the
    model, with a name that heads have; projections do not count. `inside` are the unknown tensors
    below the prefix, `outside` those that are not below it. If a norm or another layer is in the
    same module, the model is another one, and the result is empty.
    """
    head = own_head(profile)
    weight = head.get("weight")
    if weight is None:
        return {}
    width = profile.spec(weight).shape[1:]
    within = _within(weight, inside)
    if within:
        return _layer(head, width, within)
    siblings: dict[str, list[ShortEntry]] = {}
    own = {key.partition(".")[0] for key in profile.short}
    for path, entry in inside:
        module, dot, _ = path.partition(".")
        if dot and module not in own:
            siblings.setdefault(prefix + module, []).append((path, entry))
    for path, entry in outside:
        siblings.setdefault(_sibling_module(path, prefix), []).append((path, entry))
    wide = [
        (module, tensors)
        for module, tensors in siblings.items()
        if not names_projected_outputs(module)
        and any(set(width) & set(entry.shape) for _, entry in tensors)
    ]
    if len(wide) != 1 or not HEADLIKE.search(wide[0][0]):
        return {}
    return _layer(head, width, wide[0][1])


def _sibling_module(path: str, prefix: str) -> str:
    """The outermost module of a path that does not contain the model below the prefix."""
    parts, own = path.split("."), prefix.split(".")
    common = next((i for i, part in enumerate(parts) if own[i : i + 1] != [part]), len(parts))
    return ".".join(parts[: common + 1])


def _within(weight: str, tensors: Iterable[ShortEntry]) -> list[ShortEntry]:
    """The tensors below the outermost module of the head, without batch counters."""
    container, dot, _ = without_wrappers(weight).partition(".")
    return [
        (path, entry)
        for path, entry in tensors
        if dot and path.startswith(container + dot) and not path.endswith(BATCH_COUNTER)
    ]


def _layer(
    head: Mapping[str, str], width: tuple[int, ...], tensors: Sequence[ShortEntry]
) -> dict[str, TensorEntry]:
    """A weight with this many inputs and its bias, if there is nothing else; else empty."""
    named = {path.rpartition(".")[2]: (path.rpartition(".")[0], entry) for path, entry in tensors}
    if "weight" not in named or len(named) < len(tensors) or not named.keys() <= head.keys():
        return {}
    modules = {module for module, _ in named.values()}
    rows = {entry.shape[:1] for _, entry in named.values()}
    if len(modules) > 1 or len(rows) > 1 or named["weight"][1].shape[1:] != width:
        return {}
    return {head[name]: entry for name, (_, entry) in named.items()}
