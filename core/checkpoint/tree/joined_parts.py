"""Joins the state_dicts of one network's parts: a trunk in one dict, its head in the next."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from core.checkpoint.entries import StateDict, TensorEntry, is_float_dtype

Fact = TypeVar("Fact")

TRUNKS = frozenset(
    (
        *("trunk", "backbone", "encoder", "features", "feature_extractor", "extractor"),
        *("featurizer", "body", "stem", "base", "base_model", "base_network", "image_encoder"),
    )
)
"""What training scripts call the part of a network that takes the input."""

HEADS = frozenset(
    (
        *("head", "heads", "classifier", "classifiers", "cls_head", "fc", "linear", "decoder"),
        *("neck", "projector", "projection_head", "predictor", "aux_classifier", "bbox_head"),
        *("arcface", "cosface", "margin", "metric_fc"),
    )
)
"""What they call the parts that take the trunk's features.

Neither set has the name of one of several networks (`generator`), of a copy (`encoder_k`,
`target_encoder`), or of an optimizer: these are no parts of the network next to them.
"""

ONE_OF_SEVERAL = re.compile(r".*_(?:head|classifier|fc)")
"""The name of one of several heads: `age_head`."""

NUMBER = re.compile(r"_?[0-9]+$")
"""What may follow a head's name if there are several: `classifier2`, `head_1`."""

COPIES = frozenset(
    (
        *("ema", "avg", "average", "averaged", "swa", "teacher", "student", "target", "momentum"),
        *("best", "last", "old"),
    )
)
"""Words of a name that tell a copy: `ema_head` is no second head, but the first one's average."""

WHOLES = frozenset(("model", "net", "network", "module", "state_dict", "weights", "params"))
"""What they call a network, whose head may be beside it all the same, if that was trained apart."""

ENDINGS = ("_state_dict", "_state", "_weights", "_params")
"""What may follow such a name, as in `encoder_state_dict`."""


@dataclass(frozen=True, slots=True)
class JoinedParts:
    """One network whose state_dict a file has in parts.

    `parts` are the paths of these parts' state_dicts. `state_dict` has the tensors of all of them,
    under the keys that one dict would have: `trunk.conv1.weight`, `head.weight`. Its path is that
    of the dict that contains the parts; tensors that lie in that dict itself are in it too.
    """

    state_dict: StateDict
    parts: tuple[str, ...]


def join_parts(
    beside: Mapping[str, Sequence[str]], state_dicts: Mapping[str, StateDict]
) -> dict[str, JoinedParts]:
    """The networks that a file has in parts, by the path of the dict that contains the parts.

    `beside` has the paths of state_dicts that are side by side in one dict, by the path of that
    dict. They are parts of one network if one is named as a trunk and another as a head, or if one
    is named as a network and the others, which have fewer elements together, as heads. A name that
    only looks like one of several heads counts as a head if all such have fewer elements together.
    """
    joined = {}
    for above, paths in beside.items():
        names = {
            path: _plain(path[len(above) :].removeprefix("."))
            for path in paths
            if _has_weights(state_dicts[path])
        }
        trunks, wholes, heads, named = (
            [path for path, name in names.items() if is_part(name)]
            for is_part in (TRUNKS.__contains__, WHOLES.__contains__, _names_head, _one_of_several)
        )
        if _size(named, state_dicts) >= _size(trunks or wholes, state_dicts):
            names = {path: name for path, name in names.items() if path not in named}
            heads = [path for path in heads if path not in named]
        if trunks and heads:
            parts = [path for path in names if path not in wholes]
            joined[above] = _joined(above, parts, state_dicts)
        elif len(wholes) == 1 and heads and _size(heads, state_dicts) < _size(wholes, state_dicts):
            joined[above] = _joined(above, [*names], state_dicts)
    return joined


def names_part(name: str) -> bool:
    """Whether a name in a dict is one of a network's parts."""
    plain = _plain(name)
    return plain in TRUNKS | WHOLES or _names_head(plain)


def _names_head(plain: str) -> bool:
    return plain in HEADS or _one_of_several(plain)


def _one_of_several(plain: str) -> bool:
    """Whether a name looks like that of one of several heads."""
    if plain in HEADS or not COPIES.isdisjoint(plain.split("_")):
        return False
    name = NUMBER.sub("", plain)
    return name in HEADS or ONE_OF_SEVERAL.fullmatch(name) is not None


def _size(paths: Sequence[str], state_dicts: Mapping[str, StateDict]) -> int:
    return sum(state_dicts[path].numel for path in paths)


def _plain(name: str) -> str:
    """A name in lower case, without an ending such as `_state_dict`."""
    name = name.lower()
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


def _has_weights(state_dict: StateDict) -> bool:
    return any(is_float_dtype(entry.dtype) for entry in state_dict.values())


def _joined(above: str, paths: Sequence[str], state_dicts: Mapping[str, StateDict]) -> JoinedParts:
    own = state_dicts.get(above, StateDict((), above))
    entries: list[TensorEntry] = list(own.values())
    versions, classes, kinds = dict(own.versions), dict(own.classes), dict(own.kinds)
    for path in paths:
        name, part = path[len(above) :].removeprefix("."), state_dicts[path]
        for key, entry in part.items():
            entries.append(replace(entry, key=f"{name}.{key}", origin=f"{name}.{key}"))
        versions.update(_below(name, part.versions))
        classes.update(_below(name, part.classes))
        kinds.update(_below(name, part.kinds))
    return JoinedParts(StateDict(entries, above, versions, classes, kinds), tuple(paths))


def _below(name: str, facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """Facts on a part's modules, by the modules' paths in the whole network."""
    return {f"{name}.{module}" if module else name: fact for module, fact in facts.items()}
