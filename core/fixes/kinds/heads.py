"""The fix of a head's classes: its rows in another order, fewer of them, or new ones."""

from __future__ import annotations

from dataclasses import replace

from core.checkpoint.entries import StateDict, TensorEntry
from core.checkpoint.operations import ChosenRows
from core.errors import FixError
from core.fixes.computed import check_growth, checked_dense, computed, is_floating, is_strided
from core.fixes.fix import Effect, SelectClasses
from core.fixes.kinds.filtering import globbed
from core.fixes.kinds.views import exchanged
from core.patterns import Patience

MAX_CLASSES = 1_000_000
"""Rows that a head may get."""


def select_classes(
    fix: SelectClasses, state_dict: StateDict, patience: Patience
) -> tuple[StateDict, Effect]:
    """The rows of a head's weight and bias, one for each class; integers and scalars stay.

    Raises FixError where a row is not there, the tensors have unequal numbers of rows, or one of
    them is quantized or sparse.
    """
    if len(fix.rows) > MAX_CLASSES or min(fix.rows, default=0) < -1:
        raise FixError(
            "A head's rows are numbers from 0, or −1 for a class that the file does not have.",
            f"Give at most {MAX_CLASSES:,} of them.",
        )
    keys = globbed(fix.pattern, state_dict, patience)
    head = [
        checked_dense(entry)
        for key, entry in state_dict.items()
        if key in keys and entry.shape and (is_floating(entry) or entry.form is not None)
    ]
    if not head:
        return state_dict, Effect(0, 0, f"No key of a head matches `{fix.pattern}`.")
    rows = head[0].shape[0]
    for entry in head:
        if entry.shape[0] != rows:
            raise FixError(
                f"`{head[0].key}` has {rows:,} rows and `{entry.key}` {entry.shape[0]:,}: they are "
                "no weight and bias of one head.",
                "Make the pattern more exact.",
            )
    if max(fix.rows, default=-1) >= rows:
        raise FixError(
            f"Row {max(fix.rows):,} is wanted, and `{head[0].key}` has {rows:,}, from 0 on.",
            "Choose the classes anew: the rows may be of another file.",
        )
    new = {entry.key: _with_rows(entry, fix.rows) for entry in head}
    check_growth(state_dict, new)
    absent = fix.rows.count(-1)
    sentence = f"{len(fix.rows) - absent:,} of {rows:,} rows taken in {len(new):,} tensors"
    sentence += f", {absent:,} new at zero." if absent else "."
    return exchanged(state_dict, new), Effect(len(new), 0, sentence)


def _with_rows(entry: TensorEntry, rows: tuple[int, ...]) -> TensorEntry:
    shape = (len(rows), *entry.shape[1:])
    first = rows[0] if rows else -1
    if is_strided(entry) and first >= 0 and rows == tuple(range(first, first + len(rows))):
        offset = entry.storage_offset + first * entry.stride[0]
        return replace(entry, shape=shape, storage_offset=offset)
    return computed(entry, ChosenRows(rows), (entry,), shape)
