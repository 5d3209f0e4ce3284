"""A comparison in one sentence: how many tensors differ, and in which part of the network."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from core.checkpoint.entries import TensorEntry
from core.compare.words import Evidence, Row, State

DIFFERING = (State.CHANGED, State.RESHAPED, State.RECAST)

MAX_PARTS = 4
"""Modules named at most where a sentence says in which part of the network something is."""

MAX_KEYS = 3
"""Keys named at most."""


def change_sentence(rows: Sequence[Row]) -> str:
    """Say what B is beside A; every number and every name in it is true of the rows."""
    shared = [row for row in rows if row.a is not None and row.b is not None]
    only_a = [row.key for row in rows if row.state is State.ONLY_A]
    only_b = [row.key for row in rows if row.state is State.ONLY_B]
    if not rows:
        return "Neither A nor B holds a tensor."
    if not shared:
        return (
            f"A and B have no key in common: {_tensors(len(only_a))} only in A, "
            f"{_tensors(len(only_b))} only in B."
        )
    sentences = [_shared(rows, shared, alone=not only_a and not only_b)]
    every = [row.key for row in rows]
    if only_a:
        sentences.append(f"{_tensors(len(only_a))} only in A{_place(only_a, every)}.")
    if only_b:
        sentences.append(f"{_tensors(len(only_b))} only in B{_place(only_b, every)}.")
    return " ".join(sentences)


def _shared(rows: Sequence[Row], shared: Sequence[Row], *, alone: bool) -> str:
    """What became of the tensors that both have."""
    differing = [row for row in shared if row.state in DIFFERING]
    total = len(shared)
    if not differing:
        how = "the same bytes"
        if any(row.evidence is Evidence.NO_BYTES for row in shared):
            how = "the same names, shapes and dtypes; some of them hold no data"
        if alone:
            return f"Identical: {_all(total)} {_have(total)} {how}."
        return f"{_all(total).capitalize()} in common {_have(total)} {how}."
    head = _head(rows)
    if head and len(head[1]) == len(differing):
        return f"{head[0]}; the other {_tensors(total - len(differing))} are the same."
    reshaped = [row for row in differing if row.state is State.RESHAPED]
    changed = [row for row in differing if row.state is State.CHANGED]
    recast = [row for row in differing if row.state is State.RECAST]
    if len(changed) == total and alone:
        return (
            f"Same names and shapes, {'every tensor' if total > 1 else 'the one tensor'} changed."
        )
    if len(recast) == total and alone:
        return f"Same names and shapes, {_all(total)} {_recast(recast)}."
    every = [row.key for row in rows]
    common = " in common" if not alone else ""
    first = f"B differs from A in {_count(len(differing))} of {_tensors(total)}{common}"
    if len(differing) == total:
        first = f"B differs from A in {_all(total)}{common}"
    elif len(reshaped) < len(differing):
        first += _place([row.key for row in differing], every)
    details = []
    if head:
        details.append(head[0][0].lower() + head[0][1:])
    elif reshaped and len(reshaped) == len(differing):
        return f"{first}, reshaped: {_shapes(reshaped)}."
    elif reshaped:
        details.append(f"{_tensors(len(reshaped))} reshaped ({_shapes(reshaped)})")
    if recast:
        details.append(f"{_tensors(len(recast))} {_recast(recast)}")
    return "; ".join([first, *details]) + "."


def _head(rows: Sequence[Row]) -> tuple[str, list[Row]] | None:
    """The last layer with another number of classes, where that is all that was reshaped."""
    reshaped = [row for row in rows if row.state is State.RESHAPED]
    matrices = [row for row in rows if row.a is not None and len(row.a.shape) == 2]
    if not reshaped or not matrices:
        return None
    last = matrices[-1]
    module = last.key.rpartition(".")[0]
    if last.state is not State.RESHAPED or not module:
        return None
    before, after = _shape(last.a)[0], _shape(last.b)[0]
    for row in reshaped:
        a, b = _shape(row.a), _shape(row.b)
        if row.key.rpartition(".")[0] != module or (a[:1], b[:1]) != ((before,), (after,)):
            return None
        if a[1:] != b[1:]:
            return None
    keys = ", ".join(row.key for row in reshaped)
    return f"The head went from {before} to {after} classes: {keys} reshaped", reshaped


def _shape(entry: TensorEntry | None) -> tuple[int, ...]:
    return entry.shape if entry is not None else ()


def _shapes(reshaped: Sequence[Row]) -> str:
    told = [
        f"{row.key} {_times(_shape(row.a))} → {_times(_shape(row.b))}"
        for row in reshaped[:MAX_KEYS]
    ]
    more = len(reshaped) - MAX_KEYS
    return ", ".join([*told, f"{more} more"] if more > 0 else told)


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(str(length) for length in shape) or "scalar"


def _recast(recast: Sequence[Row]) -> str:
    kinds = {(row.a.dtype, row.b.dtype) for row in recast if row.a and row.b}
    if len(kinds) > 1:
        return "recast to another dtype"
    ((before, after),) = kinds
    return f"recast from {before} to {after}"


def _place(keys: Collection[str], every: Collection[str]) -> str:
    """How a sentence goes on to say where `keys` lie: few, precise module names, or how many."""
    if len(keys) == len(every):
        return ""
    if len(keys) == 1:
        return f": {next(iter(keys))}"
    changed, total = dict.fromkeys(keys), list(every)
    parts = [""]
    while True:
        for index, part in enumerate(parts):
            below = _children(part, changed)
            if len(parts) - 1 + len(below) > MAX_PARTS or part in changed:
                continue
            if part and _whole(part, changed, total):
                continue
            parts[index : index + 1] = below
            break
        else:
            break
    if len(parts) == 1 and all(_lies_in(key, parts[0]) for key in total):
        steps, most = len(_children(parts[0], changed)), len(_children(parts[0], total))
        return (
            f", in all {_count(most)} modules"
            if steps == most
            else (f", in {_count(steps)} of {_count(most)} modules")
        )
    named = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f": {named}" if all(part in changed for part in parts) else f", all in {named}"


def _whole(part: str, changed: Collection[str], total: Collection[str]) -> bool:
    """Whether naming what is below would leave nothing out: all of it, or each part of it."""
    steps = _children(part, changed)
    inside = [key for key in total if _lies_in(key, part)]
    return 1 < len(steps) == len(_children(part, inside)) or all(key in changed for key in inside)


def _lies_in(key: str, part: str) -> bool:
    return not part or key.startswith(part + ".")


def _children(part: str, keys: Collection[str]) -> list[str]:
    """The names one step below `part`, in order, under which keys lie."""
    prefix = part + "." if part else ""
    steps = {
        prefix + key[len(prefix) :].partition(".")[0]: None
        for key in keys
        if key.startswith(prefix)
    }
    return list(steps)


def _tensors(count: int) -> str:
    return f"{_count(count)} tensor" if count == 1 else f"{_count(count)} tensors"


def _all(count: int) -> str:
    return "the one tensor" if count == 1 else f"all {_count(count)} tensors"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _count(count: int) -> str:
    return f"{count:,}".replace(",", "\u202f")
