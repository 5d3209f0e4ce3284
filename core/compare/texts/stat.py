"""A comparison in the style of `git diff --stat`: a line per block of the model, with a bar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from core.compare.comparison import Comparison, Row, State
from core.compare.depth import blocks
from core.compare.tensor_numbers import Numbers
from core.wording import count, counted, small

SIGNS: Mapping[State, str] = {
    State.CHANGED: "~",
    State.RECAST: "c",
    State.RESHAPED: "x",
    State.RENAMED: ">",
    State.ONLY_A: "-",
    State.ONLY_B: "+",
}
"""State → its sign in a bar; tensors that are the same are not in it."""

BAR = 40
"""The most signs in a bar."""


def stat_lines(
    comparison: Comparison, numbers: Mapping[str, Numbers] | None = None
) -> Iterator[str]:
    """A line for each block in which something differs, in the model's order, and a summary line.

    A line has the number of tensors that differ, of how many, and a bar of SIGNS, in which each
    state has at least one sign. With `numbers` it also has the relative L2 of the block (see
    TensorChange). A line for each damaged tensor follows the blocks.
    """
    rows = {row.key: row for row in comparison.rows}
    all_blocks = blocks(comparison, numbers or {})
    counts = [_differing(rows[key] for key in block.keys) for block in all_blocks]
    differing = [
        (block, states) for block, states in zip(all_blocks, counts, strict=True) if states
    ]
    width = max((len(block.name) for block, _ in differing), default=0)
    most = max((states.total() for _, states in differing), default=0)
    for block, states in differing:
        amount = f"{count(states.total())} of {count(len(block.keys))}"
        moved = block.whole
        change = f"  relative L2 {small(moved.relative or 0.0)}" if moved.measured else ""
        yield f" {block.name:<{width}} | {amount:>9} {_bar(states, most)}{change}"
    for row in comparison.rows:
        if row.damaged:
            yield f" {row.key}: {row.note}"
    yield _summary(comparison, len(differing), len(all_blocks))


def _differing(rows: Iterable[Row]) -> Counter[State]:
    return Counter(row.state for row in rows if row.state in SIGNS)


def _bar(states: Counter[State], most: int) -> str:
    scale = min(1.0, BAR / most)
    return "".join(
        sign * max(1, round(states[state] * scale))
        for state, sign in SIGNS.items()
        if states[state]
    )


def _summary(comparison: Comparison, differing: int, total: int) -> str:
    amounts = [f"{count(differing)} of {counted(total, 'block')} differ"]
    amounts += [
        f"{count(comparison.counts[state])} {state}({sign})"
        for state, sign in SIGNS.items()
        if comparison.counts[state]
    ]
    return f" {', '.join([*amounts, same_words(comparison)])}"


def same_words(comparison: Comparison) -> str:
    """`5 same`, or `5 same (3 by checksum)` where the bytes of some were not read."""
    unread = sum(row.by_checksum for row in comparison.rows if row.state is State.SAME)
    how = f" ({count(unread)} by checksum)" if unread else ""
    return f"{count(comparison.counts[State.SAME])} same{how}"
