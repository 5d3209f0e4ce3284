"""The fix of a head's classes: selects, reorders and adds rows."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.checkpoint import ChosenRows, StateDict, TensorEntry
from core.errors import FixError
from core.fixes.base import Changed, Context, Effect, Fix
from core.fixes.computed import (
    check_growth,
    checked_dense,
    computed,
    exchanged,
    is_floating,
    is_strided,
)
from core.fixes.form import ClassesField, Form, TextField
from core.fixes.script_part import ScriptPart
from core.fixes.selection import globbed
from core.wording import count, counted

if TYPE_CHECKING:
    import torch

    from core.tensors import chosen_rows

MAX_CLASSES = 1_000_000
"""The most rows that a head may get."""


@dataclass(frozen=True, slots=True)
class SelectClasses(Fix):
    """Replace a head's rows, one for each class: new row i is the old row `rows[i]`.

    `pattern` is a glob for the keys of the head's weight and bias. −1 in `rows` is a class that the
    file does not have, and gives a row of zeros.
    """

    json_name = "select_classes"
    keeps_names = True
    form = Form(
        "Choose the head's classes",
        "Makes a row for each wanted class: the file's own where a name is in both lists, zeros "
        "for a new one.",
        (TextField("pattern", "Keys of the head", default="fc.*"), ClassesField("rows")),
    )

    pattern: str
    rows: tuple[int, ...]

    def words(self) -> str:
        return f"Make `{self.pattern}` a head of {counted(len(self.rows), 'class')}"

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """Select the rows of the head's floating-point tensors; others are unchanged.

        Raises FixError if a row does not exist, the tensors have different numbers of rows, or one
        of them is quantized or sparse.
        """
        if len(self.rows) > MAX_CLASSES or min(self.rows, default=0) < -1:
            raise FixError(
                "A head's rows are numbers from 0, or −1 for a class that the file does not have.",
                f"Give at most {count(MAX_CLASSES)} of them.",
            )
        keys = globbed(self.pattern, state_dict, context.patience)
        head = [
            checked_dense(entry)
            for key, entry in state_dict.items()
            if key in keys and entry.shape and (is_floating(entry) or entry.form is not None)
        ]
        if not head:
            return state_dict, Effect(0, 0, f"No key of a head matches `{self.pattern}`.")
        rows = head[0].shape[0]
        for entry in head:
            if entry.shape[0] != rows:
                raise FixError(
                    f"`{head[0].key}` has {count(rows)} rows and `{entry.key}` "
                    f"{count(entry.shape[0])}: they are not the weight and bias of one head.",
                    "Make the pattern more exact.",
                )
        if max(self.rows, default=-1) >= rows:
            raise FixError(
                f"Row {count(max(self.rows))} is wanted, and `{head[0].key}` has "
                f"{count(rows)}, from 0.",
                "Choose the classes again: these rows may belong to another file.",
            )
        new = {entry.key: _with_rows(entry, self.rows) for entry in head}
        check_growth(state_dict, new)
        absent = self.rows.count(-1)
        sentence = (
            f"{count(len(self.rows) - absent)} of {count(rows)} rows taken in "
            f"{counted(len(new), 'tensor')}"
        )
        sentence += f", {counted(absent, 'row')} of zeros added." if absent else "."
        return exchanged(state_dict, new), Effect(len(new), 0, sentence)

    def script(self) -> ScriptPart:
        from core.tensors import chosen_rows

        call = f"state_dict = select_classes(state_dict, {self.pattern!a}, {self.rows!a})"
        return ScriptPart((call,), (chosen_rows, select_classes))


def _with_rows(entry: TensorEntry, rows: tuple[int, ...]) -> TensorEntry:
    shape = (len(rows), *entry.shape[1:])
    first = rows[0] if rows else -1
    if is_strided(entry) and first >= 0 and rows == tuple(range(first, first + len(rows))):
        offset = entry.storage_offset + first * entry.stride[0]
        return replace(entry, shape=shape, storage_offset=offset)
    return computed(entry, ChosenRows(rows), (entry,), shape)


def select_classes(
    state_dict: dict[str, torch.Tensor], pattern: str, rows: tuple[int, ...]
) -> dict[str, torch.Tensor]:
    """The state_dict with a head of one row for each class: row i is the old row `rows[i]`."""
    result = dict(state_dict)
    for key, value in state_dict.items():
        if fnmatch.fnmatchcase(key, pattern) and value.dim() and value.is_floating_point():
            result[key] = chosen_rows(value, rows)
    return result
