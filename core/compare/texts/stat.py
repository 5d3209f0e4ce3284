"""A comparison as `git diff --stat` would show it: a line a block of the network, with a bar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from core.compare.comparison import Comparison, Row, State
from core.compare.depth import blocks
from core.compare.tensor_numbers import Numbers
from core.wording import small

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
    that is there has one sign at least; with numbers also the relative L2 of the block (see Moved).
    """
    rows = {row.key: row for row in comparison.rows}
    found = blocks(comparison, numbers or {})
    counts = [_differing(rows[key] for key in block.keys) for block in found]
    differing = [(block, counted) for block, counted in zip(found, counts, strict=True) if counted]
    width = max((len(block.name) for block, _ in differing), default=0)
    most = max((counted.total() for _, counted in differing), default=0)
    for block, counted in differing:
        amount = f"{counted.total():,} of {len(block.keys):,}"
        moved = block.whole
        told = f"  relative L2 {small(moved.relative or 0.0)}" if moved.measured else ""
        yield f" {block.name:<{width}} | {amount:>9} {_bar(counted, most)}{told}"
    yield _summary(comparison, len(differing), len(found))


def _differing(rows: Iterable[Row]) -> Counter[State]:
    return Counter(row.state for row in rows if row.state in SIGNS)


def _bar(counted: Counter[State], most: int) -> str:
    scale = min(1.0, BAR / most)
    return "".join(
        sign * max(1, round(counted[state] * scale))
        for state, sign in SIGNS.items()
        if counted[state]
    )


def _summary(comparison: Comparison, differing: int, total: int) -> str:
    told = [f"{differing:,} of {total:,} block{'' if total == 1 else 's'} differ"]
    told += [
        f"{comparison.counts[state]:,} {state}({sign})"
        for state, sign in SIGNS.items()
        if comparison.counts[state]
    ]
    return f" {', '.join([*told, f'{comparison.counts[State.SAME]:,} same'])}"
