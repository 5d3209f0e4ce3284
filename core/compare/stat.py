"""A comparison as `git diff --stat` would show it: a line a block of the network, with a bar."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from core.compare.amounts import small
from core.compare.numbers import Numbers
from core.compare.words import Comparison, Row, State

SIGNS: Mapping[State, str] = {
    State.CHANGED: "~",
    State.RECAST: "c",
    State.RESHAPED: "x",
    State.RENAMED: ">",
    State.ONLY_A: "-",
    State.ONLY_B: "+",
}
"""What a bar is made of; tensors that are the same are not in it."""

BAR = 40
"""Signs in the longest bar at most."""


def stat_lines(
    comparison: Comparison, numbers: Mapping[str, Numbers] | None = None
) -> Iterator[str]:
    """A line for each block in which something differs, in the network's order, then one for all.

    A line has the tensors that differ of those there are, and a bar of SIGNS, in which each state
    that is there has one sign at least; with numbers also the relative L2 of the whole block.
    """
    blocks: dict[str, list[Row]] = {}
    for row in comparison.rows:
        blocks.setdefault(block_of(row.key), []).append(row)
    differing = {
        name: counted for name, rows in blocks.items() if (counted := _differing(rows)).total()
    }
    width = max((len(name) for name in differing), default=0)
    most = max((counted.total() for counted in differing.values()), default=0)
    for name, counted in differing.items():
        amount = f"{counted.total():,} of {len(blocks[name]):,}"
        moved = _relative_l2(blocks[name], numbers or {})
        told = f"  relative L2 {small(moved)}" if moved is not None else ""
        yield f" {name:<{width}} | {amount:>9} {_bar(counted, most)}{told}"
    yield _summary(comparison, len(differing), len(blocks))


def block_of(key: str) -> str:
    """The module that a tensor belongs to as a person speaks of it: up to the first number in its
    key (`layer4.0`, `encoder.blocks.11`), else two steps deep at most; its key without a module."""
    modules = key.split(".")[:-1]
    for index, step in enumerate(modules):
        if step.isdecimal():
            return ".".join(modules[: index + 1])
    return ".".join(modules[:2]) or key


def _differing(rows: Iterable[Row]) -> Counter[State]:
    return Counter(row.state for row in rows if row.state in SIGNS)


def _bar(counted: Counter[State], most: int) -> str:
    scale = min(1.0, BAR / most)
    return "".join(
        sign * max(1, round(counted[state] * scale))
        for state, sign in SIGNS.items()
        if counted[state]
    )


def _relative_l2(rows: Iterable[Row], numbers: Mapping[str, Numbers]) -> float | None:
    """Of the block's measured tensors taken as one vector."""
    found = [numbers[row.key] for row in rows if row.key in numbers]
    if not found:
        return None
    before = math.sqrt(sum(one.norm_a**2 for one in found))
    moved = math.sqrt(sum(one.norm_difference**2 for one in found))
    return moved / before if before else (math.inf if moved else 0.0)


def _summary(comparison: Comparison, differing: int, blocks: int) -> str:
    told = [f"{differing:,} of {blocks:,} block{'' if blocks == 1 else 's'} differ"]
    told += [
        f"{comparison.counts[state]:,} {state}({sign})"
        for state, sign in SIGNS.items()
        if comparison.counts[state]
    ]
    return f" {', '.join([*told, f'{comparison.counts[State.SAME]:,} same'])}"
