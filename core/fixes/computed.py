"""What a fix makes: entries that are computed from others, and the state_dict that holds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod

from core.checkpoint import (
    ITEMSIZES,
    NUMBERLESS,
    Derived,
    Nested,
    Operation,
    Quantized,
    Sparse,
    StateDict,
    TensorEntry,
)
from core.checkpoint.pickles import row_major
from core.errors import FixError

MAX_BYTES = 8 << 30
"""Bytes of a tensor that a fix makes larger than what it is made of."""

MAX_GROWTH = 4 << 30
"""Bytes by which a step may make a state_dict larger."""

MAX_OPERATIONS = 256
"""Operations that one tensor may come from: each reads and computes its parts anew."""


def computed(
    like: TensorEntry,
    operation: Operation,
    parts: tuple[TensorEntry, ...],
    shape: tuple[int, ...],
    dtype: str | None = None,
) -> TensorEntry:
    """An entry that is computed when it is read, under the key and origin of `like`.

    Raises FixError where it would be larger than its parts, and than MAX_BYTES, or come from more
    than MAX_OPERATIONS.
    """
    steps = 1 + sum(part.form.steps for part in parts if isinstance(part.form, Derived))
    if steps > MAX_OPERATIONS:
        raise FixError(
            f"`{like.key}` would be computed in {steps:,} operations.",
            f"{MAX_OPERATIONS:,} is the most: remove steps that undo one another.",
        )
    dtype = dtype or like.dtype
    nbytes = prod(shape) * ITEMSIZES[dtype]
    if nbytes > max(MAX_BYTES, sum(part.nbytes for part in parts)):
        raise FixError(
            f"`{like.key}` would take {nbytes / 1e9:,.0f} GB.",
            f"{MAX_BYTES / 1e9:.0f} GB is the most that a tensor may grow to: ask for less.",
        )
    return replace(
        like,
        dtype=dtype,
        shape=shape,
        stride=row_major(shape),
        storage_offset=0,
        record=None,
        transforms=(),
        form=Derived(operation, parts, steps),
    )


def check_growth(state_dict: StateDict, new: Mapping[str, TensorEntry]) -> None:
    """Raise FixError where tensors in the place of others take MAX_GROWTH bytes more than they."""
    grown = sum(entry.nbytes - state_dict[key].nbytes for key, entry in new.items())
    if grown > MAX_GROWTH:
        raise FixError(
            f"The tensors would take {grown / 1e9:,.0f} GB more than before.",
            f"{MAX_GROWTH / 1e9:.0f} GB is the most: ask for less, or name them more exactly.",
        )


def is_strided(entry: TensorEntry) -> bool:
    """Whether the elements are the entry's own, at its strides: another view costs nothing."""
    return entry.form is None and not entry.dtype.startswith(("qint", "quint"))


def is_dense(entry: TensorEntry) -> bool:
    """Whether each element has its place and is a number by itself."""
    return not isinstance(entry.form, Quantized | Sparse | Nested) and not entry.dtype.startswith(
        ("qint", "quint")
    )


def is_floating(entry: TensorEntry) -> bool:
    """Whether it is dense and of floating-point numbers that torch can reckon with."""
    floats = entry.dtype.startswith(("float", "bfloat")) and entry.dtype not in NUMBERLESS
    return floats and is_dense(entry)


def checked_dense(entry: TensorEntry) -> TensorEntry:
    """The entry itself. Raises FixError where it is quantized, sparse or nested."""
    match entry.form:
        case Sparse(layout=layout):
            what, remedy = f"sparse ({layout})", "Save the file again after .to_dense() on it."
        case Nested():
            what, remedy = "nested", "Save its rows as tensors of their own."
        case _ if is_dense(entry):
            return entry
        case _:
            what, remedy = "quantized", "Put the step Dequantize before this one."
    raise FixError(f"`{entry.key}` is {what}: this fix is for dense tensors.", remedy)


def exchanged(state_dict: StateDict, new: dict[str, TensorEntry]) -> StateDict:
    """The state_dict with other tensors under some of its keys."""
    if not new:
        return state_dict
    entries = [new.get(key, entry) for key, entry in state_dict.items()]
    return StateDict(entries, state_dict.path, state_dict.versions)


def rebuilt(
    state_dict: StateDict, entries: Sequence[TensorEntry], names: Iterable[tuple[str, str]]
) -> StateDict:
    """The entries with the versions of the modules that they now stand in.

    `names` are pairs of keys, old and new; one old key may have become several, or several one.

    A module without any tensor has no version that torch would look at, so it is left out
    once a key changes.
    """
    old = state_dict.versions
    names = list(names)
    if not old or (len(names) == len(state_dict) and all(a == b for a, b in names)):
        return StateDict(entries, state_dict.path, old)
    versions: dict[str, int] = {}
    for before, after in names:
        source, target = _parent(before), _parent(after)
        while True:
            if source in old:
                versions.setdefault(target, old[source])
            if not (source and target and _leaf(source) == _leaf(target)):
                break
            source, target = _parent(source), _parent(target)
    return StateDict(entries, state_dict.path, versions)


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]
