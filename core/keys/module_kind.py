"""The kind of module that each tensor belongs to, by the names that PyTorch models use and by
shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from math import prod

from core.keys.vocabulary import ATTENTION, BATCH_COUNTER, OUTPUT_MODULES


class ModuleKind(StrEnum):
    """The kind of module that a tensor belongs to."""

    CONV = "conv"
    NORM = "norm"
    STATISTICS = "norm statistics"
    ATTENTION = "attention"
    LINEAR = "linear"
    EMBEDDING = "embedding"
    HEAD = "head"
    OTHER = "other"


IN_ATTENTION = re.compile(
    rf"(^|_)({ATTENTION}|in_proj|key|value|"
    r"relative_position\w*|rel_pos\w*|relative_attention_bias)(_|\d|$)"
)
EMBEDDING = re.compile(
    r"(^|_)(embed|embedding|embeddings|embeds|wte|wpe|tok_embeddings|pos_embed|cls_token|"
    r"class_token|dist_token|mask_token|reg_token|pos_embedding|position_ids)(_|\d|$)|^shared$"
)
NORM = re.compile(r"(^|_)(bn|norm|ln|gn|layernorm|batchnorm|groupnorm|rmsnorm|norms)(_|\d|$)")
"""Words in a step of a module path. Each begins the step or follows `_`; after it comes `_`, a
digit or the end."""


STATISTIC_PAIRS = (("running_mean", "running_var"), ("moving_mean", "moving_variance"))
"""What the two statistics of a norm are called in PyTorch, and in weights that came from
TensorFlow."""


def module_kinds(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, ModuleKind]:
    """Key → kind of module; `shapes` are the tensors' shapes, in the order of the state_dict.

    BatchNorm's statistics are two vectors of one length in one module, and a counter of one
    integer, with their names. Norms, embeddings and attention are recognized by name; convolutions
    (three dimensions or more) and linear layers by shape. A bias has the kind of its weight. The
    head is the last module with a head's name.
    """
    weights = {key.rpartition(".")[0]: shape for key, shape in shapes.items() if _is_weight(key)}
    kinds = {
        key: ModuleKind.STATISTICS if _is_statistic(key, shapes) else _kind(key, shape, weights)
        for key, shape in shapes.items()
    }
    head = _head(shapes, kinds)
    if head:
        kinds |= {
            key: ModuleKind.HEAD
            for key, kind in kinds.items()
            if key.startswith(head) and kind in (ModuleKind.LINEAR, ModuleKind.CONV)
        }
    return kinds


def _is_weight(key: str) -> bool:
    return key.rpartition(".")[2] in {"weight", "weight_v", "weight_orig", "kernel"}


def _is_statistic(key: str, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    module, dot, leaf = key.rpartition(".")
    if leaf == BATCH_COUNTER:
        return prod(shapes[key]) == 1
    return len(shapes[key]) == 1 and any(
        leaf in pair and all(shapes.get(f"{module}{dot}{name}") == shapes[key] for name in pair)
        for pair in STATISTIC_PAIRS
    )


def _kind(key: str, shape: tuple[int, ...], weights: Mapping[str, tuple[int, ...]]) -> ModuleKind:
    module, _, leaf = key.rpartition(".")
    steps = [step.lower() for step in module.split(".")]
    if NORM.search(steps[-1]):
        return ModuleKind.NORM
    if EMBEDDING.search(leaf.lower()) or any(EMBEDDING.search(step) for step in steps[-2:]):
        weight = weights.get(module, shape)
        return ModuleKind.CONV if len(weight) >= 4 else ModuleKind.EMBEDDING
    weight = weights.get(module, shape)
    if any(IN_ATTENTION.search(step) for step in (*steps, leaf.lower())):
        return ModuleKind.NORM if module in weights and len(weight) == 1 else ModuleKind.ATTENTION
    if len(weight) >= 3:
        return ModuleKind.CONV
    if len(weight) == 2:
        return ModuleKind.LINEAR
    return ModuleKind.NORM if module in weights and len(weight) == 1 else ModuleKind.OTHER


def _head(shapes: Mapping[str, tuple[int, ...]], kinds: Mapping[str, ModuleKind]) -> str | None:
    """The path of the last weight's module, up to the step with a head's name, and a dot; or
    None."""
    for key in reversed(list(shapes)):
        if not _is_weight(key) or kinds[key] not in (ModuleKind.LINEAR, ModuleKind.CONV):
            continue
        steps = key.split(".")[:-1]
        for depth, step in enumerate(steps):
            if step.lower() in OUTPUT_MODULES:
                return ".".join(steps[: depth + 1]) + "."
        return None
    return None
