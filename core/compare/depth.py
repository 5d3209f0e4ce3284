"""How far the network moved, block by block: its relative change by depth and by kind of module."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from core.compare.comparison import Comparison, Row, State
from core.compare.module_kind import ModuleKind, module_kinds
from core.compare.tensor_numbers import Numbers

MAX_BLOCKS = 150
"""Blocks at most: of a deeper network, several are one."""

FEW_BLOCKS = 50
"""Blocks that are too few for a deep network: then its layers are taken in runs instead."""

MIN_REPEATS = 3
"""Modules with a number, and with modules of their own, that make what holds them a way to blocks:
a branch of convolutions has fewer."""

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

_INSIDE = frozenset(("layer",))
"""Of these, the steps that after a number are inside the block, as in T5 (`block.0.layer.1`)."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Some tensors of a block: how many there are and differ, and how far they moved.

    `relative` is the norm of the difference over A's norm, both over the `measured` tensors as one
    vector: those that differ and have numbers. It is 0 where all are the same, and None where what
    differs was not measured. `unmeasured` are the states of those that differ and have no numbers,
    such as reshaped ones.
    """

    tensors: int
    differing: int
    measured: int
    relative: float | None
    unmeasured: Mapping[State, int]


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the network, in its order; `keys` are the rows' keys, the kinds in a fixed order.

    Of a network with more than MAX_BLOCKS it may be a run of them, named `layers.0–2`.

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
    names = _names(list(dict.fromkeys(paths)))
    held: dict[str, list[tuple[str, Row]]] = {}
    for row, path in zip(comparison.rows, paths, strict=True):
        held.setdefault(names[path], []).append((".".join(path), row))
    return tuple(_block(name, rows, kinds, numbers) for name, rows in held.items())


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


def block_path(steps: Sequence[str], ways: Collection[tuple[str, ...]] = ()) -> int:
    """How many steps of a module path lead to its block: all that only say where in the network it
    is (`encoder.layers.3`, `layer4.0`), or up to the first that says more (`encoder.ln`). `ways`
    are paths that are known to lead to blocks, to one number each. A name that comes twice
    (`layers.8.layers`) begins the block's own inside."""
    end, numbered = 0, 0
    for index, step in enumerate(steps):
        if _STEP.fullmatch(step):
            if end and end == numbered:
                return end
            end = index + 1
        elif tuple(steps[: index + 1]) in ways:
            numbered = index + 2
        elif step not in _ABOVE or step in steps[:index] or (end and step in _INSIDE):
            return end or index + 1
    return end or len(steps)


def _paths(keys: Sequence[str]) -> list[tuple[str, ...]]:
    """Each key's block, as the steps that lead to it."""
    modules = [key.split(".")[:-1] for key in keys]
    wrapped = _wrapped(modules)
    ways = _ways([steps[wrapped:] for steps in modules])
    paths = [tuple(steps[: wrapped + block_path(steps[wrapped:], ways)]) for steps in modules]
    while len(set(paths)) > MAX_BLOCKS:
        deepest = max(len(path) for path in paths)
        shorter = [path[: deepest - 1] for path in paths]
        if deepest <= 1 or len(set(shorter)) < FEW_BLOCKS:
            break
        paths = shorter
    return paths


def _ways(modules: Sequence[Sequence[str]]) -> set[tuple[str, ...]]:
    """The paths to modules that are numbered and have modules of their own, such as
    `bert.encoder.layer`, and the paths on the way there."""
    held: dict[tuple[str, ...], set[str]] = {}
    for steps in modules:
        at = next((at for at, step in enumerate(steps) if _STEP.fullmatch(step)), 0)
        if not steps[at : at + 1] or not steps[at].isdecimal():
            continue
        way, inside = tuple(steps[:at]), steps[at + 1 :]
        has_modules = len(inside) > 1 or (inside and not inside[0].isdecimal())
        if has_modules and not _ABOVE.issuperset(way):
            held.setdefault(way, set()).add(steps[at])
    found = [path for path, numbers in held.items() if len(numbers) >= MIN_REPEATS]
    return {path[:end] for path in found for end in range(1, len(path) + 1)}


def _names(paths: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """The paths' names; of more than MAX_BLOCKS, several that follow one another have one."""
    size = math.ceil(len(paths) / MAX_BLOCKS)
    names: dict[tuple[str, ...], str] = {}
    for start in range(0, len(paths), max(1, size)):
        run = paths[start : start + size]
        first, last = run[0], run[-1]
        name = ".".join(first) or "(no module)"
        if len(run) > 1:
            name += f"–{last[-1]}" if first[:-1] == last[:-1] else f" … {'.'.join(last)}"
        names |= dict.fromkeys(run, name)
    return names


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
    name: str,
    held: Sequence[tuple[str, Row]],
    kinds: Mapping[str, ModuleKind],
    numbers: Mapping[str, Numbers],
) -> Block:
    """A block of rows, each with the path that its parts lie below."""
    rows = [row for _, row in held]
    by_kind = {kind: [row for row in rows if kinds[row.key] is kind] for kind in ModuleKind}
    weights = [row for row in rows if kinds[row.key] is not ModuleKind.STATISTICS]
    by_part: dict[str, list[Row]] = {}
    for path, row in held:
        if kinds[row.key] is not ModuleKind.STATISTICS:
            module = row.key.rpartition(".")[0]
            by_part.setdefault(module.removeprefix(path).lstrip("."), []).append(row)
    return Block(
        name,
        tuple(row.key for row in rows),
        _moved(weights or rows, numbers),
        {kind: _moved(own, numbers) for kind, own in by_kind.items() if own},
        {part: _moved(own, numbers) for part, own in by_part.items()},
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
    without = Counter(row.state for row in differing if row.key not in numbers)
    return Moved(len(rows), len(differing), len(found), relative, without)
