"""What the rows' states alone show: how many tensors differ, how, and where."""

from __future__ import annotations

from collections.abc import Sequence

from core.checkpoint import TensorEntry
from core.compare.comparison import Row
from core.compare.verdict.comparison_facts import Facts
from core.compare.verdict.where import place
from core.wording import all_tensors, count, listed, of_tensors, tensors
from core.wording import shape as shape_words

MAX_KEYS = 3
"""The most reshaped tensors that are named."""


def states_sentence(facts: Facts) -> str:
    """A sentence on how many of the shared tensors differ, where, and which were reshaped or
    recast."""
    total = len(facts.shared)
    differing = facts.differing
    changed, recast, reshaped = facts.changed, facts.recast, facts.reshaped
    head = reshaped_head(facts)
    if len(changed) == total and facts.all_shared:
        return (
            f"Same names and shapes, {'every tensor' if total > 1 else 'the one tensor'} changed."
        )
    if len(recast) == total and facts.all_shared:
        return f"Same names and shapes, {all_tensors(total)} {recast_words(recast)}."
    every = [row.key for row in facts.rows]
    common = " in common" if not facts.all_shared else ""
    first = f"B differs from A in {of_tensors(len(differing), total)}{common}"
    if len(differing) == total:
        first = f"B differs from A in {all_tensors(total)}{common}"
    elif len(reshaped) < len(differing):
        first += place([row.key for row in differing], every)
    details = []
    if head:
        keys = listed([row.key for row in reshaped])
        details.append(f"the head went {head} ({keys} reshaped)")
    elif reshaped and len(reshaped) == len(differing):
        return f"{first}, reshaped: {_shapes(reshaped)}."
    elif reshaped:
        details.append(f"{tensors(len(reshaped))} reshaped ({_shapes(reshaped)})")
    if recast:
        details.append(f"{tensors(len(recast))} {recast_words(recast)}")
    return "; ".join([first, *details]) + "."


def reshaped_head(facts: Facts) -> str:
    """`from 1 000 to 10 classes`, where only the last layer was reshaped; else empty."""
    matrices = [row for row in facts.shared if row.a is not None and len(row.a.shape) == 2]
    if not facts.reshaped or not matrices:
        return ""
    last = matrices[-1]
    module = last.key.rpartition(".")[0]
    if last.key not in {row.key for row in facts.reshaped} or not module:
        return ""
    before, after = _shape(last.a)[0], _shape(last.b)[0]
    for row in facts.reshaped:
        a, b = _shape(row.a), _shape(row.b)
        if row.key.rpartition(".")[0] != module or (a[:1], b[:1]) != ((before,), (after,)):
            return ""
        if a[1:] != b[1:]:
            return ""
    return f"from {count(before)} to {count(after)} classes"


def the_rest(facts: Facts) -> str:
    """The end of a sentence, on the tensors that are the same; empty where there are none."""
    same = len(facts.same)
    if same == 1:
        return f"; the other tensor is {facts.the_same}"
    return f"; the other {tensors(same)} are {facts.the_same}" if same else ""


def recast_words(recast: Sequence[Row]) -> str:
    """`recast from float32 to float16`."""
    before = list(dict.fromkeys(row.a.dtype for row in recast if row.a))
    after = list(dict.fromkeys(row.b.dtype for row in recast if row.b))
    return f"recast from {listed(before)} to {listed(after)}"


def _shape(entry: TensorEntry | None) -> tuple[int, ...]:
    return entry.shape if entry is not None else ()


def _shapes(reshaped: Sequence[Row]) -> str:
    named = [
        f"{row.key} {shape_words(_shape(row.a))} → {shape_words(_shape(row.b))}"
        for row in reshaped[:MAX_KEYS]
    ]
    more = len(reshaped) - MAX_KEYS
    return ", ".join([*named, f"{more} more"] if more > 0 else named)
