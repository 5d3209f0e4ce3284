"""A run in plain words: where it broke, whether it settles, from when on nothing changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from core.compare.run.training_run import RunRow, RunStep
from core.wording import all_tensors, are, count, of_tensors, percent, tensors

STEADY = 1.5
"""Largest step over smallest, up to which all steps are about equal."""

TREND = 3.0
"""First step over last, from which a run settles; last over first, from which its steps grow."""

BACK = 1.25
"""A step over the one before it, up to which a run may still settle."""

JUMP = 5.0
"""A step over the largest other one, from which it stands out."""


def run_sentence(
    names: Sequence[str], rows: Sequence[RunRow], steps: Sequence[RunStep], *, complete: bool
) -> str:
    """What happened from the first checkpoint to the last, in one or two sentences.

    A step is from one checkpoint to the next. Every number is one of the rows' or the steps'. Until
    the run is `complete`, the sentence says only what was found so far.
    """
    if not rows:
        return "None of these checkpoints contains a tensor."
    broken = _broken(names, rows, steps)
    if not complete:
        return f"So far: {broken}." if broken else "The measurement is not complete yet."
    parts = [_damaged(names, rows), broken or _moved(names, steps), _others(rows)]
    return " ".join(f"{part}." for part in parts if part)


def _damaged(names: Sequence[str], rows: Sequence[RunRow]) -> str:
    """Which tensor does not have the checksum that was saved; empty where none was found."""
    damaged = [row for row in rows if row.damaged]
    if not damaged:
        return ""
    first = f"{damaged[0].key} in {names[damaged[0].damaged[0]]}"
    if len(damaged) == len(damaged[0].damaged) == 1:
        return f"Damaged: the stored checksum of {first} does not hold"
    return (
        f"Damaged: the stored checksums of {tensors(len(damaged))} do not hold, such as that of "
        f"{first}"
    )


def _broken(names: Sequence[str], rows: Sequence[RunRow], steps: Sequence[RunStep]) -> str:
    """Where NaN or infinities first appeared, without the infinities of masks; else empty."""
    broken = [(row, row.first_nan) for row in rows if row.first_nan is not None and not row.lasting]
    if not broken:
        return ""
    first = min(at for _, at in broken)
    hit = [row for row, at in broken if at == first]
    there = sum(row.shapes[first] is not None for row in rows)
    what = "NaN" if any(row.nans[first] for row in hit) else "Infinities"
    where = f"{names[first]}, {_among(hit, there)}"
    sentence = f"{what} already in the first checkpoint, {where}"
    if first:
        sentence = f"{what} first in {where}"
        if pace := _pace(steps[: first - 1]):
            sentence += f"; until then the weights changed by {pace}"
    since = range(first + 1, len(names))
    free = [at for at in since if not any(_is_odd(row, at) for row, _ in broken)]
    if free and all(row.nans[at] is not None for row, _ in broken for at in free if row.shapes[at]):
        sentence += f"; {names[free[0]]} is free of them again"
    return sentence


def _is_odd(row: RunRow, at: int) -> bool:
    return bool(row.nans[at] or row.infs[at])


def _among(hit: Sequence[RunRow], there: int) -> str:
    if len(hit) == 1:
        return f"in {hit[0].key}, {of_tensors(1, there)}"
    of = all_tensors(there) if len(hit) == there else of_tensors(len(hit), there)
    return f"in {of}, of which {hit[0].key} comes first in the model"


def _pace(steps: Sequence[RunStep]) -> str:
    """`3.1 % per step`, or from the smallest to the largest; empty where a step has no number."""
    moves = [step.relative_l2 for step in steps if step.relative_l2 is not None]
    if not moves or len(moves) < len(steps) or not all(map(math.isfinite, moves)):
        return ""
    low, high = percent(min(moves)), percent(max(moves))
    if len(moves) == 1:
        return f"{low} in the one step before"
    return f"{low} per step" if low == high else f"{low} to {high} per step"


def _moved(names: Sequence[str], steps: Sequence[RunStep]) -> str:
    if all(step.still for step in steps):
        every = "both" if len(names) == 2 else f"all {count(len(names))}"
        if any(step.by_checksum for step in steps):
            return (
                f"The same by checksum: {every} checkpoints have the same stored checksums, and "
                "not all of their bytes were compared"
            )
        return f"Nothing changed: {every} checkpoints contain the same values"
    end = len(steps)
    while steps[end - 1].still:
        end -= 1
    if end < len(steps):
        sentence = f"Nothing changed from {names[end]} on"
        if any(step.by_checksum for step in steps[end:]):
            sentence += ", by checksum"
        pace = _pace(steps[:end])
        if end == 1 and pace:
            return f"{sentence}; the step before changed the weights by {percent(_move(steps[0]))}"
        return f"{sentence}; before that, the weights changed by {pace}" if pace else sentence
    moves = [step.relative_l2 for step in steps]
    known = [move for move in moves if move is not None and math.isfinite(move)]
    if len(known) < len(moves):
        return _unmeasured(names, steps)
    if max(known) == 0:
        return "No weight changed, only counters and statistics did"
    if len(known) == 1:
        return f"From {names[0]} to {names[1]} the weights changed by {percent(known[0])}"
    return _course(names, known)


def _move(step: RunStep) -> float:
    assert step.relative_l2 is not None
    return step.relative_l2


def _unmeasured(names: Sequence[str], steps: Sequence[RunStep]) -> str:
    """The sentence for a run in which a step has no finite number."""
    zeros = [at for at, step in enumerate(steps) if step.relative_l2 == math.inf]
    if zeros:
        zero, other = names[zeros[0]], names[zeros[0] + 1]
        return f"All weights of {zero} are zero, and those of {other} are not"
    changed = sum(step.changed > 0 for step in steps)
    return f"Tensors changed in {count(changed)} of {count(len(steps))} steps"


def _course(names: Sequence[str], moves: Sequence[float]) -> str:
    """How the change per step developed. All `moves` are finite, and one is above zero."""
    first, last = moves[0], moves[-1]
    low, high = min(moves), max(moves)
    rest = sorted(moves)[:-1]
    if high <= STEADY * low:
        words = (percent(low), percent(high))
        by = words[0] if words[0] == words[1] else f"{words[0]} to {words[1]}"
        return f"The run goes on at an even pace: the weights changed by {by} per step"
    if not _differ(low, high):
        return f"In every step the weights changed by {percent(low)}"
    after = list(pairwise(moves))
    if first >= TREND * last and all(y <= BACK * x for x, y in after) and _differ(first, last):
        return f"The run settles: the change per step fell from {percent(first)} to {percent(last)}"
    if last >= TREND * first and all(x <= BACK * y for x, y in after) and _differ(first, last):
        return (
            f"The run does not settle: the change per step grew from {percent(first)} to "
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
        f"The change per step was between {percent(low)} (to {names[least + 1]}) and "
        f"{percent(high)} (to {names[at + 1]})"
    )


def _differ(first: float, last: float) -> bool:
    return percent(first) != percent(last)


def _up_to(moves: Sequence[float]) -> str:
    most = percent(max(moves))
    return most if percent(min(moves)) == most else f"at most {most}"


def _others(rows: Sequence[RunRow]) -> str:
    """A sentence on the tensors that some checkpoints lack, or that change shape; else empty."""
    partial = [row for row in rows if None in row.shapes]
    reshaped = [
        row for row in rows if len({shape for shape in row.shapes if shape is not None}) > 1
    ]
    clauses = []
    if partial:
        number = len(partial)
        clauses.append(f"{tensors(number)} {are(number)} not in every checkpoint")
    if reshaped:
        where = reshaped[0].key if len(reshaped) == 1 else tensors(len(reshaped))
        clauses.append(f"{where} {'changes shape' if len(reshaped) == 1 else 'change shape'}")
    return "; ".join(clauses)
