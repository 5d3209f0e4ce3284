"""How far the model moved, block by block: the relative change by depth and by kind of module."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from core.compare.comparison import Comparison, Row, State
from core.compare.tensor_numbers import Numbers
from core.keys import BATCH_COUNTER, ModuleKind, module_kinds

MAX_BLOCKS = 150
"""The most blocks; in a deeper model, several blocks become one."""

FEW_BLOCKS = 50
"""Blocks that are too few for a deep model. Where a shorter path would give fewer, consecutive
layers are joined instead."""

MIN_REPEATS = 3
"""Numbered modules with submodules that a module must contain to count as a list of blocks. A
branch of convolutions contains fewer."""

MIN_BLOCKS = 3
"""Blocks that must have a part in common before it is in the map of parts."""

NOT_WEIGHTS = frozenset((ModuleKind.NORM, ModuleKind.STATISTICS))
"""Kinds whose tensors change by other amounts than the weights between them."""

_STEP = re.compile(
    r"\d+|(layer|stage|block|denseblock|denselayer|transition|encoder_layer|decoder_layer)"
    r"_?\d+(-\d+)?|[sb]\d+"
)
_CONTAINERS = frozenset(
    (
        *("model", "module", "backbone", "encoder", "decoder", "transformer", "trunk_output"),
        *("features", "stages", "stage", "layers", "layer", "blocks", "h", "downs", "ups", "body"),
    )
)
"""Steps of a path that lead to a block. Any other step after a block is inside it."""

_LAYERS_IN_BLOCKS = frozenset(("layer",))
"""Those of _CONTAINERS that are inside the block after a number, as in T5 (`block.0.layer.1`)."""


@dataclass(frozen=True, slots=True)
class TensorChange:
    """How some tensors of a block changed.

    `tensors` counts them all, `differing` those that differ, and `measured` those that differ and
    have numbers. `relative` is the norm of the difference over the norm in A (0.1 for 10 %), with
    all measured ones as one vector; it is 0 where all tensors are the same,
    and None where the differing ones were not measured. `unmeasured` counts the differing tensors
    without numbers, such as reshaped ones, by state.
    """

    tensors: int
    differing: int
    measured: int
    relative: float | None
    unmeasured: Mapping[State, int]


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the model; `keys` are the keys of its rows in the model's order.

    In a model with more than MAX_BLOCKS blocks, it may be several consecutive ones, named
    `layers.0–2`. `whole` is over all its tensors without BatchNorm's statistics; of these,
    `weights` is over all but the norms, and None where there are only norms. `kinds` is by kind of
    module, in the order of ModuleKind. `parts` is by path below the block, without statistics.
    """

    name: str
    keys: tuple[str, ...]
    whole: TensorChange
    weights: TensorChange | None
    kinds: Mapping[ModuleKind, TensorChange]
    parts: Mapping[str, TensorChange]


@dataclass(frozen=True, slots=True)
class DepthLines:
    """The relative change by depth as two lines: one of the norms, one of all other weights.

    `weights` and `norms` have a value for each of `blocks`, None where the block has no such
    tensor, or it was not measured. BatchNorm's statistics are in neither. `kinds` are those of
    `weights`, in the order of ModuleKind.
    """

    blocks: tuple[str, ...]
    weights: tuple[float | None, ...]
    norms: tuple[float | None, ...]
    kinds: tuple[ModuleKind, ...]


@dataclass(frozen=True, slots=True)
class PartMap:
    """The relative change by block and by part.

    `values[part][block]` is None where the block has no such part, or it was not measured.
    """

    blocks: tuple[str, ...]
    parts: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


def blocks(comparison: Comparison, numbers: Mapping[str, Numbers]) -> tuple[Block, ...]:
    """The model's blocks in its order, at most MAX_BLOCKS; `numbers` are by row key.

    BatchNorm's statistics have their own kind and do not count in `whole`, because a variance may
    be larger than all weights together.
    """
    kinds = kinds_of(comparison.rows)
    paths = _paths([row.key for row in comparison.rows])
    names = _names(list(dict.fromkeys(paths)))
    by_name: dict[str, list[tuple[str, Row]]] = {}
    for row, path in zip(comparison.rows, paths, strict=True):
        by_name.setdefault(names[path], []).append((".".join(path), row))
    return tuple(_block(name, rows, kinds, numbers) for name, rows in by_name.items())


def depth_lines(all_blocks: Sequence[Block]) -> DepthLines:
    """The two lines through the model's blocks; those without weights and norms are left out."""
    shown = [
        block for block in all_blocks if block.weights is not None or ModuleKind.NORM in block.kinds
    ]
    kinds = {kind for block in shown for kind in block.kinds} - NOT_WEIGHTS
    return DepthLines(
        tuple(block.name for block in shown),
        tuple(None if block.weights is None else block.weights.relative for block in shown),
        tuple(
            block.kinds[ModuleKind.NORM].relative if ModuleKind.NORM in block.kinds else None
            for block in shown
        ),
        tuple(kind for kind in ModuleKind if kind in kinds),
    )


def part_map(all_blocks: Sequence[Block]) -> PartMap | None:
    """The map of blocks that share parts, such as those of a transformer; None where too few do."""
    counted: dict[str, int] = {}
    for block in all_blocks:
        for part, moved in block.parts.items():
            counted[part] = counted.get(part, 0) + (moved.relative is not None)
    parts = tuple(part for part, count in counted.items() if part and count >= MIN_BLOCKS)
    shown = [block for block in all_blocks if any(part in block.parts for part in parts)]
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


def block_path(steps: Sequence[str], block_lists: Collection[tuple[str, ...]] = ()) -> int:
    """How many steps of a module path lead to its block.

    These are the steps that only say where in the model it is (`encoder.layers.3`, `layer4.0`), or
    those up to the first other step (`encoder.ln`). `block_lists` are those of `_block_lists`. A
    name that occurs a second time (`layers.8.layers`) is inside the block.
    """
    end, numbered = 0, 0
    for index, step in enumerate(steps):
        if _STEP.fullmatch(step):
            if end and end == numbered:
                return end
            end = index + 1
        elif tuple(steps[: index + 1]) in block_lists:
            numbered = index + 2
        elif (
            step not in _CONTAINERS or step in steps[:index] or (end and step in _LAYERS_IN_BLOCKS)
        ):
            return end or index + 1
    return end or len(steps)


def _paths(keys: Sequence[str]) -> list[tuple[str, ...]]:
    """For each key, the steps that lead to its block."""
    modules = [key.split(".")[:-1] for key in keys]
    wrapped = _wrapped(modules)
    block_lists = _block_lists([steps[wrapped:] for steps in modules])
    paths = [
        tuple(steps[: wrapped + block_path(steps[wrapped:], block_lists)]) for steps in modules
    ]
    while len(set(paths)) > MAX_BLOCKS:
        deepest = max(len(path) for path in paths)
        shorter = [path[: deepest - 1] for path in paths]
        if deepest <= 1 or len(set(shorter)) < FEW_BLOCKS:
            break
        paths = shorter
    return paths


def _block_lists(modules: Sequence[Sequence[str]]) -> set[tuple[str, ...]]:
    """The paths of modules with numbered submodules that have submodules themselves, such as
    `bert.encoder.layer`, and all leading parts of these paths."""
    numbers_at: dict[tuple[str, ...], set[str]] = {}
    for steps in modules:
        at = next((at for at, step in enumerate(steps) if _STEP.fullmatch(step)), 0)
        if not steps[at : at + 1] or not steps[at].isdecimal():
            continue
        path, inside = tuple(steps[:at]), steps[at + 1 :]
        has_modules = len(inside) > 1 or (inside and not inside[0].isdecimal())
        if has_modules and not _CONTAINERS.issuperset(path):
            numbers_at.setdefault(path, set()).add(steps[at])
    lists_of_blocks = [path for path, numbers in numbers_at.items() if len(numbers) >= MIN_REPEATS]
    return {path[:end] for path in lists_of_blocks for end in range(1, len(path) + 1)}


def _names(paths: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Block path → name; of more than MAX_BLOCKS, several consecutive ones share a name."""
    size = math.ceil(len(paths) / MAX_BLOCKS)
    names: dict[tuple[str, ...], str] = {}
    for start in range(0, len(paths), max(1, size)):
        joined = paths[start : start + size]
        first, last = joined[0], joined[-1]
        name = ".".join(first) or "(no module)"
        if len(joined) > 1:
            name += f"–{last[-1]}" if first[:-1] == last[:-1] else f" … {'.'.join(last)}"
        names |= dict.fromkeys(joined, name)
    return names


def _wrapped(modules: Sequence[list[str]]) -> int:
    """How many steps all paths begin with, such as a wrapper around the whole model."""
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
    rows_by_path: Sequence[tuple[str, Row]],
    kinds: Mapping[str, ModuleKind],
    numbers: Mapping[str, Numbers],
) -> Block:
    """A block from its rows, each with the path below which its part lies."""
    rows = [row for _, row in rows_by_path]
    by_kind = {kind: [row for row in rows if kinds[row.key] is kind] for kind in ModuleKind}
    weights = [row for row in rows if kinds[row.key] is not ModuleKind.STATISTICS]
    without_norms = [row for row in rows if kinds[row.key] not in NOT_WEIGHTS]
    by_part: dict[str, list[Row]] = {}
    for path, row in rows_by_path:
        if kinds[row.key] is not ModuleKind.STATISTICS:
            module = row.key.rpartition(".")[0]
            by_part.setdefault(module.removeprefix(path).lstrip("."), []).append(row)
    return Block(
        name,
        tuple(row.key for row in rows),
        _moved(weights or rows, numbers),
        _moved(without_norms, numbers) if without_norms else None,
        {kind: _moved(own, numbers) for kind, own in by_kind.items() if own},
        {part: _moved(own, numbers) for part, own in by_part.items()},
    )


def _moved(rows: Sequence[Row], numbers: Mapping[str, Numbers]) -> TensorChange:
    differing = [row for row in rows if row.state not in (State.SAME, State.RENAMED)]
    measured = [
        numbers[row.key]
        for row in differing
        if row.key in numbers and not row.key.endswith(BATCH_COUNTER)
    ]
    relative: float | None = None
    if measured:
        before = math.hypot(*(row_numbers.norm_a for row_numbers in measured))
        moved = math.hypot(*(row_numbers.norm_difference for row_numbers in measured))
        relative = moved / before if before else (math.inf if moved else 0.0)
    elif not differing:
        relative = 0.0
    unmeasured = Counter(row.state for row in differing if row.key not in numbers)
    return TensorChange(len(rows), len(differing), len(measured), relative, unmeasured)
