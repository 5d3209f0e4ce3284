"""A run in plain words: where it broke, whether it settles, since when nothing changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from core.compare.run.training_run import RunRow, RunStep
from core.wording import all_tensors, are, count, percent, tensors

STEADY = 1.5
"""The largest of steps that are about the same, over the smallest."""

FAR = 3.0
"""How many times smaller, or larger, the last step is than the first of a run that settles, or
grows."""

BACK = 1.25
"""What a step may be over the one before it in a run that settles all the same."""

JUMP = 5.0
"""How many times larger than every other a step is that stands out."""


def run_sentence(
    names: Sequence[str], rows: Sequence[RunRow], steps: Sequence[RunStep], *, complete: bool
) -> str:
    """What happened from the first checkpoint to the last; every number is one of the rows' or the
    steps'. "A step" is from one checkpoint to the next. Before all is measured it says no more than
    what was found so far."""
    if not rows:
        return "None of these checkpoints holds a tensor."
    broken = _broken(names, rows, steps)
    if not complete:
        return f"So far: {broken}." if broken else "Not all is measured yet."
    told = broken or _moved(names, steps)
    parts = [told, _others(rows)]
    return " ".join(f"{part}." for part in parts if part)


def _broken(names: Sequence[str], rows: Sequence[RunRow], steps: Sequence[RunStep]) -> str:
    """Where a NaN, or an infinity that is no mask's, first came in."""
    odd = [(row, row.first_nan) for row in rows if row.first_nan is not None and not row.lasting]
    if not odd:
        return ""
    first = min(at for _, at in odd)
    hit = [row for row, at in odd if at == first]
    there = sum(row.shapes[first] is not None for row in rows)
    what = "NaN" if any(row.nans[first] for row in hit) else "Infinities"
    where = f"{names[first]}, {_among(hit, there)}"
    told = f"{what} already in the first checkpoint, {where}"
    if first:
        told = f"{what} first in {where}"
        if pace := _pace(steps[: first - 1]):
            told += f"; until then the weights changed by {pace}"
    since = range(first + 1, len(names))
    free = [at for at in since if not any(_is_odd(row, at) for row, _ in odd)]
    if free and all(row.nans[at] is not None for row, _ in odd for at in free if row.shapes[at]):
        told += f"; {names[free[0]]} is free of them again"
    return told


def _is_odd(row: RunRow, at: int) -> bool:
    return bool(row.nans[at] or row.infs[at])


def _among(hit: Sequence[RunRow], there: int) -> str:
    if len(hit) == 1:
        return f"in {hit[0].key}, 1 of {tensors(there)}"
    of = all_tensors(there) if len(hit) == there else f"{count(len(hit))} of {tensors(there)}"
    return f"in {of}, the earliest in the network's order {hit[0].key}"


def _pace(steps: Sequence[RunStep]) -> str:
    """`3.1 % a step`, or from the smallest to the largest."""
    moves = [step.relative_l2 for step in steps if step.relative_l2 is not None]
    if not moves or len(moves) < len(steps) or not all(map(math.isfinite, moves)):
        return ""
    low, high = percent(min(moves)), percent(max(moves))
    if len(moves) == 1:
        return f"{low} in the one step before"
    return f"{low} a step" if low == high else f"{low} to {high} a step"


def _moved(names: Sequence[str], steps: Sequence[RunStep]) -> str:
    if all(step.still for step in steps):
        every = "both" if len(names) == 2 else f"all {count(len(names))}"
        return f"Nothing changed: {every} checkpoints hold the same values"
    end = len(steps)
    while steps[end - 1].still:
        end -= 1
    if end < len(steps):
        told = f"Nothing changed from {names[end]} on"
        pace = _pace(steps[:end])
        if end == 1 and pace:
            return f"{told}; the step before changed the weights by {percent(_move(steps[0]))}"
        return f"{told}; before, the weights changed by {pace}" if pace else told
    moves = [step.relative_l2 for step in steps]
    known = [move for move in moves if move is not None and math.isfinite(move)]
    if len(known) < len(moves):
        return _unmeasured(names, steps)
    if max(known) == 0:
        return "No weight changed, only counts and statistics did"
    if len(known) == 1:
        return f"From {names[0]} to {names[1]} the weights changed by {percent(known[0])}"
    return _course(names, known)


def _move(step: RunStep) -> float:
    assert step.relative_l2 is not None
    return step.relative_l2


def _unmeasured(names: Sequence[str], steps: Sequence[RunStep]) -> str:
    """For a run in which a step has no number."""
    zeros = [at for at, step in enumerate(steps) if step.relative_l2 == math.inf]
    if zeros:
        zero, other = names[zeros[0]], names[zeros[0] + 1]
        return f"All weights of {zero} are zeros, and those of {other} are not"
    changed = sum(step.changed > 0 for step in steps)
    return f"Tensors changed in {count(changed)} of {count(len(steps))} steps"


def _course(names: Sequence[str], moves: Sequence[float]) -> str:
    """How the change a step went on; all are numbers, and one is above zero."""
    first, last = moves[0], moves[-1]
    low, high = min(moves), max(moves)
    rest = sorted(moves)[:-1]
    if high <= STEADY * low:
        words = (percent(low), percent(high))
        by = words[0] if words[0] == words[1] else f"{words[0]} to {words[1]}"
        return f"The run goes on at an even pace: the weights changed by {by} a step"
    if not _differ(low, high):
        return f"In every step the weights changed by {percent(low)}"
    after = list(pairwise(moves))
    if first >= FAR * last and all(y <= BACK * x for x, y in after) and _differ(first, last):
        return f"The run settles: the change a step fell from {percent(first)} to {percent(last)}"
    if last >= FAR * first and all(x <= BACK * y for x, y in after) and _differ(first, last):
        return (
            f"The run does not settle: the change a step grew from {percent(first)} to "
            f"{percent(last)}"
        )
    if len(moves) > 2 and high > JUMP * rest[-1]:
        at = moves.index(high)
        return (
            f"One step stands out, from {names[at]} to {names[at + 1]}: it changed the weights by "
            f"{percent(high)}, the others by {_up_to(rest)}"
        )
    at, least = moves.index(high), moves.index(low)
    return (
        f"The change a step went between {percent(low)} (to {names[least + 1]}) and "
        f"{percent(high)} (to {names[at + 1]})"
    )


def _differ(first: float, last: float) -> bool:
    return percent(first) != percent(last)


def _up_to(moves: Sequence[float]) -> str:
    most = percent(max(moves))
    return most if percent(min(moves)) == most else f"at most {most}"


def _others(rows: Sequence[RunRow]) -> str:
    """Tensors that cannot be followed from the first to the last."""
    partial = [row for row in rows if None in row.shapes]
    reshaped = [
        row for row in rows if len({shape for shape in row.shapes if shape is not None}) > 1
    ]
    told = []
    if partial:
        number = len(partial)
        told.append(f"{tensors(number)} {are(number)} not in every checkpoint")
    if reshaped:
        where = reshaped[0].key if len(reshaped) == 1 else tensors(len(reshaped))
        told.append(
            f"{where} {'changes its shape' if len(reshaped) == 1 else 'change their shapes'}"
        )
    return "; ".join(told)
