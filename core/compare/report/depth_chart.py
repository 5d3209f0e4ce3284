"""Change by depth as lines on a logarithmic axis: what a chart of it shows, word by word."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from core.compare.depth import Block, TensorChange, depth_lines
from core.compare.report.figures import relative_change_text, short_names
from core.keys import ModuleKind
from core.plain_text import visible
from core.wording import count, percent, tensors

PointState = Literal["changed", "same", "from zero", "not measured"]
"""What a point says. Only a change has a place on a logarithmic axis: what is the same lies on a
line of its own below it, what was all zeros in A on its upper end, and what was not measured is a
gap of the line with a mark."""

MOST_TICKS = 5
"""The most powers of ten that the axis names."""

HEADROOM = 1.25
"""How far the axis goes beyond the smallest and the largest change, whose labels need room."""

DECADES_WITHOUT_CHANGE = (-3, 0)
"""The powers of ten of an axis on which there is no change to draw."""


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """A block in a line. `change` is its relative change (0.1 for 10 %), None in any other state;
    `text` says it in a few characters."""

    state: PointState
    change: float | None
    text: str


@dataclass(frozen=True, slots=True)
class ChartLine:
    """The change of some kinds of module through the model; None where a block has none of them.

    `is_weights` says whether they are the weights rather than the norms.
    """

    title: str
    points: tuple[ChartPoint | None, ...]
    is_weights: bool


@dataclass(frozen=True, slots=True)
class DepthChart:
    """The change by depth.

    `blocks` are the blocks' names, `labels` what an axis calls them, and `facts` what there is to
    say of each, by kind of module. `lines` are the weights, then the norms, each only where the
    model has such tensors. `ticks` are (power of ten, its text), and `low` and `high` the axis's
    ends as powers of ten. `labelled` are the points of the first line whose text is written out:
    the first, the largest and the last change, the largest first.
    """

    blocks: tuple[str, ...]
    labels: tuple[str, ...]
    facts: tuple[tuple[str, ...], ...]
    lines: tuple[ChartLine, ...]
    ticks: tuple[tuple[int, str], ...]
    low: float
    high: float
    labelled: tuple[int, ...]

    @property
    def states(self) -> frozenset[PointState]:
        """The states that occur in some line."""
        return frozenset(point.state for line in self.lines for point in line.points if point)


def depth_chart(all_blocks: Sequence[Block]) -> DepthChart | None:
    """The chart of a model's blocks; None where nothing was measured."""
    if not any(moved.measured for block in all_blocks for moved in block.kinds.values()):
        return None
    drawn = depth_lines(all_blocks)
    by_name = {block.name: block for block in all_blocks}
    shown = [by_name[name] for name in drawn.blocks]
    weights = ChartLine(
        ", ".join(map(str, drawn.kinds)),
        tuple(_point(block.weights) for block in shown),
        is_weights=True,
    )
    norms = ChartLine(
        str(ModuleKind.NORM),
        tuple(_point(block.kinds.get(ModuleKind.NORM)) for block in shown),
        is_weights=False,
    )
    lines = tuple(line for line in (weights, norms) if any(line.points))
    if not lines:
        return None
    names = short_names(drawn.blocks)
    low, high, ticks = _axis(lines)
    return DepthChart(
        drawn.blocks,
        tuple(visible(names[name]) for name in drawn.blocks),
        tuple(tuple(_facts(block)) for block in shown),
        lines,
        ticks,
        low,
        high,
        _labelled(lines[0].points),
    )


def _point(moved: TensorChange | None) -> ChartPoint | None:
    if moved is None:
        return None
    if moved.relative is None:
        return ChartPoint("not measured", None, "not measured")
    if math.isinf(moved.relative):
        return ChartPoint("from zero", None, "from zero")
    if moved.relative == 0:
        return ChartPoint("same", None, "0\u202f%")
    # Below 0.1 %, where `percent` has no digits, all points of a chart may lie.
    text = percent if moved.relative >= 0.001 else relative_change_text
    return ChartPoint("changed", moved.relative, text(moved.relative))


def _axis(lines: Sequence[ChartLine]) -> tuple[float, float, tuple[tuple[int, str], ...]]:
    """The axis's ends and ticks: whole powers of ten from below the smallest change."""
    changes = [point.change for line in lines for point in line.points if point and point.change]
    if not changes:
        low, high = map(float, DECADES_WITHOUT_CHANGE)
    else:
        low = float(math.floor(math.log10(min(changes) / HEADROOM)))
        high = max(math.log10(max(changes) * HEADROOM), low + 1)
    powers = range(int(low), math.floor(high) + 1)
    step = math.ceil(len(powers) / MOST_TICKS)
    return low, high, tuple((power, relative_change_text(10.0**power)) for power in powers[::step])


def _labelled(points: Sequence[ChartPoint | None]) -> tuple[int, ...]:
    changes = [(at, point.change) for at, point in enumerate(points) if point and point.change]
    if not changes:
        return ()
    largest = max(changes, key=lambda change: change[1])[0]
    return tuple(dict.fromkeys((largest, changes[-1][0], changes[0][0])))


def _facts(block: Block) -> list[str]:
    """A sentence for each kind of module in the block."""
    return [f"{kind}: {'; '.join(_change_facts(moved))}" for kind, moved in block.kinds.items()]


def _differ(number: int) -> str:
    """The verb for so many."""
    return "differs" if number == 1 else "differ"


def _change_facts(moved: TensorChange) -> list[str]:
    """What there is to say of some tensors: how far they moved, how many differ, and why some have
    no number."""
    if not moved.differing:
        return ["the one tensor is the same" if moved.tensors == 1 else "all are the same"]
    facts = []
    if moved.relative is not None:
        facts.append(relative_change_text(moved.relative))
    alone = moved.tensors == 1
    several = f"{count(moved.differing)} of {tensors(moved.tensors)} {_differ(moved.differing)}"
    facts.append("the one tensor differs" if alone else several)
    if moved.unmeasured:
        states = ", ".join(f"{count(many)} {state}" for state, many in moved.unmeasured.items())
        facts.append(f"not measured: {states}")
    return facts
