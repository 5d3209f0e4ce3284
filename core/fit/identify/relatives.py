"""Whether a file is a deeper, shallower, wider or narrower network than the nearest known one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from core.architectures import Shape, Signature
from core.fit.proposals.option_hints import last_weight
from core.keys import MAX_STARTS
from core.wording import count, listed

LEAST_SHARE = 0.5
"""The least share of the model's keys that the file has too, whatever their shapes, to be told as
one of the same family."""

LEAST_WIDTHS = 4
"""So many tensors may differ in a dimension for another reason, such as a head's classes."""

WIDE_SHARE = 0.5
"""The least share of the matrices and kernels in common that have other widths: of a network with
one other layer, such as its stem, the rest is as wide as the model's."""

MOST_NAMED = 2
"""The most modules that a sentence names."""


def relative_sentence(shapes: Mapping[str, Shape], wanted: Signature) -> str:
    """How the file's network differs in size from a model of its family; empty if it does not.

    `shapes` are those of the file by the model's names. Deeper: every numbered module of the model,
    such as `blocks`, has at least as many members in the file, or the file has a stage more than
    `layer4`. Shallower: it has fewer, and lacks only the last ones. Wider: most layers differ in a
    dimension, and every one that differs is larger in the file.
    """
    common = [key for key in wanted if key in shapes]
    if len(common) < LEAST_SHARE * len(wanted):
        return ""
    words = [_depth(shapes, wanted), _width(shapes, wanted, common)]
    told = [word for word in words if word]
    return f"The file is a {' and '.join(told)} network of the same family." if told else ""


def _depth(shapes: Mapping[str, Shape], wanted: Signature) -> str:
    own, other = _members(shapes), _members(wanted)
    if any(_has_a_gap(own[module], members) for module, members in other.items() if module in own):
        return ""
    numbers = [
        (module, len(own[module]), len(members))
        for module, members in other.items()
        if module in own and len(own[module]) != len(members)
    ]
    places = [
        f"{count(file)} in `{module}`, not {count(model)}"
        for module, file, model in numbers[:MOST_NAMED]
    ]
    more = {file > model for _, file, model in numbers}
    added, lacking = _other_stages(shapes, wanted)
    for stages, word in ((added, "with"), (lacking, "without")):
        if stages:
            more.add(stages is added)
            places.append(f"{word} {listed([f'`{stage}`' for stage in stages])}")
    if len(more) != 1:
        return ""
    return f"{'deeper' if more.pop() else 'shallower'} ({', '.join(places)})"


def _has_a_gap(file: set[str], model: set[str]) -> bool:
    """Whether the file has fewer members than the model, and others than the model's first ones:
    then some are lost from it."""
    # By length and then as text, numbers are in their order, and one of any length can be compared.
    first = sorted(model, key=lambda number: (len(number), number))[: len(file)]
    return len(file) < len(model) and file != {*first}


STAGE = re.compile(r"(.*[^0-9])([0-9]{1,4})", re.DOTALL)
"""The name of a numbered stage: `layer4`, `denseblock2`."""


def _other_stages(shapes: Mapping[str, Shape], wanted: Signature) -> tuple[list[str], list[str]]:
    """The stages that the file has after the model's last one, and those of the model's that it
    ends before.

    None of the latter if the file's head takes what the model's last stage gives, or one before is
    lacking: then they are lost from the file.
    """
    own, other = _stages(shapes), _stages(wanted)
    added, lacking = [], []
    for name, numbers in other.items():
        file = own.get(name, set())
        if file and min(file) == min(numbers):
            added += [f"{name}{number}" for number in sorted(file) if number > max(numbers)]
            if numbers - file == {number for number in numbers if number > max(file)}:
                lacking += [f"{name}{number}" for number in sorted(numbers - file)]
    head = last_weight(wanted)
    if head is not None and head in shapes and shapes[head][1:] == wanted[head].shape[1:]:
        lacking = []
    return added, lacking


def _stages(keys: Iterable[str]) -> dict[str, set[int]]:
    """The numbers of the outermost stages by their name: `layer4.0.conv1.weight` → layer: 4.

    A stage contains layers: `conv1.weight` is of none.
    """
    stages: dict[str, set[int]] = defaultdict(set)
    for key in keys:
        first, *below = key.split(".", MAX_STARTS)
        stage = STAGE.fullmatch(first)
        if stage and len(below) > 1:
            stages[stage[1]].add(int(stage[2]))
    return stages


def _members(keys: Iterable[str]) -> dict[str, set[str]]:
    """The numbers below each module: `blocks.0.attn.qkv.weight` → blocks: 0."""
    members: dict[str, set[str]] = defaultdict(set)
    for key in keys:
        parts = key.split(".", MAX_STARTS)
        for at, part in enumerate(parts[:-1]):
            if at and part.isdecimal():
                members[".".join(parts[:at])].add(part)
                break
    return members


def _width(shapes: Mapping[str, Shape], wanted: Signature, common: Sequence[str]) -> str:
    differ = [
        (key, own, other)
        for key in common
        if len(shapes[key]) == len(wanted[key].shape)
        for own, other in zip(shapes[key], wanted[key].shape, strict=True)
        if own != other
    ]
    larger = {own > other for _, own, other in differ}
    # A head of other classes, or an input of other channels, is no other width.
    keys = {key for key, _, _ in differ}
    if len(larger) != 1 or len(keys) <= LEAST_WIDTHS:
        return ""
    layers = [key for key in common if len(wanted[key].shape) > 1]
    if len(keys.intersection(layers)) < WIDE_SHARE * len(layers):
        return ""
    key, own, other = differ[0]
    return (
        f"{'wider' if larger.pop() else 'narrower'} ({count(own)} in `{key}`, not {count(other)})"
    )
