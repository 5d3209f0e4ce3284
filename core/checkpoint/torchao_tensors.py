"""Says which tensors torchao quantized, in a pickle or in a safetensors file.

A pickle has them as objects of its subclasses of Tensor. `torchao.prototype.safetensors` writes
their parts as tensors (`l.weight_qdata`, `l.weight_scale`) and, in `__metadata__`, `tensor_names`
with a JSON list and, under each of these names, a JSON object whose `_type` is the class
(safetensors_support.py, flatten_tensor_state_dict).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from core.checkpoint.containers.bounded_json import read_json
from core.checkpoint.containers.budget import MoreThanLoupeReads
from core.checkpoint.pickles.global_verdicts import GlobalUse
from core.checkpoint.pickles.inert import (
    InertSubclass,
    InertTensor,
    Tree,
    each_once,
    values_inside,
)
from core.wording import count, tensors

PACKAGE = "torchao."
"""The start of the names of torchao's classes."""

HEADER_TEXTS = "__metadata__"
NAMES = "tensor_names"
TYPE = "_type"
"""The keys under which a safetensors file says what its parts are of."""

PLAIN = frozenset(("Tensor", "Parameter"))
"""The types of tensors that were written as they are."""


def torchao_notes(tree: Tree, uses: Sequence[GlobalUse]) -> list[str]:
    """The note on tensors that torchao quantized; none where there are none.

    `uses` are the globals of the file: the tree is searched only where they name a torchao class.
    """
    classes = _flattened(tree)
    if any(use.name.startswith(PACKAGE) for use in uses):
        classes += _subclasses(tree)
    if not classes:
        return []
    number = classes.total()
    listed = ", ".join(f"{count(times)} {name}" for name, times in classes.items())
    its = "Its" if number == 1 else "Their"
    return [
        f"torchao quantized {tensors(number)} ({listed}). {its} parts are here, such as the "
        "integers and the scales: a float model cannot take them."
    ]


def _subclasses(tree: Tree) -> Counter[str]:
    """How many tensors are of each class of torchao that has several parts.

    One with a single part only wraps a plain tensor. What is inside a tensor is part of it.
    """
    return Counter(
        value.name.rpartition(".")[2]
        for value in each_once(tree, lambda value: () if _is_own(value) else values_inside(value))
        if _is_own(value) and _parts(value) > 1
    )


def _is_own(value: Tree) -> TypeGuard[InertSubclass]:
    return isinstance(value, InertSubclass) and value.name.startswith(PACKAGE)


def _parts(value: InertSubclass) -> int:
    """The number of tensors inside a tensor."""
    return sum(isinstance(item, InertTensor) for item in each_once(value.state))


def _flattened(tree: Tree) -> Counter[str]:
    """How many tensors of a safetensors file are there in parts, by their class."""
    texts = tree.get(HEADER_TEXTS) if isinstance(tree, dict) else None
    if not isinstance(texts, dict) or NAMES not in texts:
        return Counter()
    names = _json(texts[NAMES])
    if not isinstance(names, list):
        return Counter()
    types = [_type(texts.get(name)) for name in names if isinstance(name, str)]
    return Counter(name for name in types if name and name not in PLAIN)


def _type(text: Tree) -> str:
    """The class that a text states; empty where it states none."""
    described = _json(text)
    stated = described.get(TYPE) if isinstance(described, Mapping) else None
    return stated[:100] if isinstance(stated, str) else ""


def _json(text: Tree) -> object:
    try:
        return read_json(text.encode(), "a header") if isinstance(text, str) else None
    except (ValueError, MoreThanLoupeReads):
        return None
