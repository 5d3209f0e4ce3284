"""How far the network moved, block by block: its relative change by depth and by kind of module."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.compare.module_kinds import ModuleKind, module_kinds
from core.compare.numbers import Numbers
from core.compare.words import Comparison, Row, State

MAX_BLOCKS = 150
"""Blocks at most: of a deeper network, several are one."""

MIN_BLOCKS = 3
"""Blocks that must have a part in common before the parts are drawn as a map."""

_STEP = re.compile(
    r"\d+|(layer|stage|block|denseblock|denselayer|transition|encoder_layer|decoder_layer)"
    r"_?\d+(-\d+)?|[sb]\d+"
)
_ABOVE = frozenset(
    (
        *("model", "module", "backbone", "encoder", "decoder", "transformer", "trunk_output"),
        *("features", "stages", "stage", "layers", "layer", "blocks", "h", "downs", "ups", "body"),
    )
)
"""Steps of a path on the way to a block; where it goes on with another, the block was before."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Some tensors of a block: how many there are and differ, and how far they moved.

    `relative` is the norm of the difference over A's norm, both over the `measured` tensors as one
    vector: those that differ and have numbers. It is 0 where all are the same, and None where what
    differs was not measured.
    """

    tensors: int
    differing: int
    measured: int
    relative: float | None


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the network, in its order; `keys` are the rows' keys, the kinds in a fixed order.

    `parts` are the modules inside it by their path below it, without buffers of statistics.
    """

    name: str
    keys: tuple[str, ...]
    whole: Moved
    kinds: Mapping[ModuleKind, Moved]
    parts: Mapping[str, Moved]


@dataclass(frozen=True, slots=True)
class PartMap:
    """Blocks by the parts that they share: `values[part][block]` is the relative change, None where
    the block has no such part, or it was not measured."""

    blocks: tuple[str, ...]
    parts: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


def blocks(comparison: Comparison, numbers: Mapping[str, Numbers]) -> tuple[Block, ...]:
    """The network's blocks in its order, at most MAX_BLOCKS; `numbers` are by row key.

    The statistics of BatchNorm have a kind of their own, and don't count in `whole`: a variance
    may be larger than all weights together.
    """
    kinds = kinds_of(comparison.rows)
    paths = _paths([row.key for row in comparison.rows])
    held: dict[str, list[Row]] = {}
    for row, path in zip(comparison.rows, paths, strict=True):
        held.setdefault(path, []).append(row)
    return tuple(_block(path, rows, kinds, numbers) for path, rows in held.items())


def part_map(found: Sequence[Block]) -> PartMap | None:
    """The blocks that share parts, such as those of a transformer; None where too few do."""
    counted: dict[str, int] = {}
    for block in found:
        for part, moved in block.parts.items():
            counted[part] = counted.get(part, 0) + (moved.relative is not None)
    parts = tuple(part for part, count in counted.items() if part and count >= MIN_BLOCKS)
    shown = [block for block in found if any(part in block.parts for part in parts)]
    if len(parts) < 2:
        return None
    return PartMap(
        tuple(block.name for block in shown),
        parts,
        tuple(
            tuple(block.parts[part].relative if part in block.parts else None for block in shown)
            for part in parts
        ),
    )


def kinds_of(rows: Sequence[Row]) -> dict[str, ModuleKind]:
    """The kind of module that each row's tensor belongs to, by row key."""
    return module_kinds(
        {row.key: entry.shape for row in rows if (entry := row.a or row.b) is not None}
    )


def block_path(steps: Sequence[str]) -> int:
    """How many steps of a module path lead to its block: all that only say where in the network it
    is (`encoder.layers.3`, `layer4.0`), or the first one. A name that comes twice
    (`layers.8.layers`) begins the block's own inside."""
    end = 0
    for index, step in enumerate(steps):
        if _STEP.fullmatch(step):
            end = index + 1
        elif step not in _ABOVE or step in steps[:index]:
            break
    return end or min(1, len(steps))


def _paths(keys: Sequence[str]) -> list[str]:
    """Each key's block, as a path."""
    modules = [key.split(".")[:-1] for key in keys]
    wrapped = _wrapped(modules)
    paths = [tuple(steps[: wrapped + block_path(steps[wrapped:])]) for steps in modules]
    while len(set(paths)) > MAX_BLOCKS:
        deepest = max(len(path) for path in paths)
        if deepest <= 1:
            break
        paths = [path[: deepest - 1] for path in paths]
    if len(set(paths)) > MAX_BLOCKS:
        order = {path: index for index, path in enumerate(dict.fromkeys(paths))}
        size = math.ceil(len(order) / MAX_BLOCKS)
        firsts = list(order)
        paths = [firsts[order[path] // size * size] for path in paths]
    return [".".join(path) or "(no module)" for path in paths]


def _wrapped(modules: Sequence[list[str]]) -> int:
    """Steps that all paths begin with: a wrapper around the whole network."""
    if not modules or not all(modules):
        return 0
    first, last = min(modules), max(modules)
    same = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        same += 1
    return min(same, min(len(steps) for steps in modules) - 1)


def _block(
    path: str,
    rows: Sequence[Row],
    kinds: Mapping[str, ModuleKind],
    numbers: Mapping[str, Numbers],
) -> Block:
    by_kind = {kind: [row for row in rows if kinds[row.key] is kind] for kind in ModuleKind}
    weights = [row for row in rows if kinds[row.key] is not ModuleKind.STATISTICS]
    by_part: dict[str, list[Row]] = {}
    for row in weights:
        module = row.key.rpartition(".")[0]
        by_part.setdefault(module.removeprefix(path).lstrip("."), []).append(row)
    return Block(
        path,
        tuple(row.key for row in rows),
        _moved(weights or rows, numbers),
        {kind: _moved(held, numbers) for kind, held in by_kind.items() if held},
        {part: _moved(held, numbers) for part, held in by_part.items()},
    )


def _moved(rows: Sequence[Row], numbers: Mapping[str, Numbers]) -> Moved:
    differing = [row for row in rows if row.state not in (State.SAME, State.RENAMED)]
    found = [
        numbers[row.key]
        for row in differing
        if row.key in numbers and not row.key.endswith("num_batches_tracked")
    ]
    relative: float | None = None
    if found:
        before = math.hypot(*(one.norm_a for one in found))
        moved = math.hypot(*(one.norm_difference for one in found))
        relative = moved / before if before else (math.inf if moved else 0.0)
    elif not differing:
        relative = 0.0
    return Moved(len(rows), len(differing), len(found), relative)
