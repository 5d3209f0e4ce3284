"""A table's columns, rows and groups, and how they travel to the browser."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from core.plain_text import image_address, visible
from core.theme import STATE_MARKS

Kind = Literal["key", "code", "muted", "label", "number", "bar", "state", "image"]
"""How a column is drawn: keys, code such as a shape, code of less weight, a name of up to two
lines, a number, a number with a bar, the mark of a state, or a small image."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: a value for each row, and how it is written.

    A row's value is formatted by `text` and sorted by what `sort` makes of it, both once for each
    distinct value. Numbers sort by themselves, other values by their text. `hint` says what the
    column is. In a narrow table, the columns with the highest `drop` are left out first; one with 0
    stays. `full` is the value of a full bar, `colour` that of its filling, `most` the most pixels
    of the text. A column with a `share` takes that part of the width that is left. Of a key column,
    `into` are the new names of the keys, None for one that keeps its name; what a new name leaves
    out is struck out in the old. A `worded` column of states has the word beside the mark where
    there is room. The values of an image column are WebP files that Loupe made.
    """

    title: str
    kind: Kind
    values: Sequence[Hashable]
    text: Callable[[Any], str] = str
    sort: Callable[[Any], float | str | None] | None = None
    hint: str = ""
    drop: int = 0
    full: float = 1
    colour: str = ""
    most: int = 190
    share: int = 0
    into: Sequence[str | None] = ()
    worded: bool = False


@dataclass(frozen=True, slots=True)
class RowGroup:
    """The next `count` rows of a table, under a line of their own.

    `prefix` is the part of their keys that the line says and the rows leave out. `cells` has what
    the line says in a column, by the column's title: a value as in the rows, such as their sum, or
    a text. Rows of a group without a title have no line. What a person opens is remembered by
    `name`, where two groups have one title.
    """

    title: str | None
    count: int
    prefix: str = ""
    cells: Mapping[str, Any] = field(default_factory=dict)
    open: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """What a table shows.

    Each row has a number that it keeps when others are filtered out: `numbers`, else its place.
    Rows without groups stand alone. `foot` is one line below, `rows` the most lines before the
    table scrolls. What a person opens is remembered for each `scope`, such as the text of a search.
    In a table with `clears`, a second click on the chosen row chooses none. `file` is the name
    under which a button saves the rows as CSV; without one there is no button. Without `chooses`,
    no row can be chosen. `height` is that of a row in pixels.
    """

    label: str
    columns: Sequence[Column]
    groups: Sequence[RowGroup] | None = None
    numbers: Sequence[int] | None = None
    foot: str = ""
    rows: int = 20
    scope: str = ""
    clears: bool = True
    file: str = ""
    chooses: bool = True
    height: int = 28


@dataclass(frozen=True, slots=True)
class PackedTable:
    """A table as the browser takes it. `digest` distinguishes it from all others, `numbers` are
    those of its rows."""

    body: bytes
    digest: str
    numbers: frozenset[int]


def packed(table: Table) -> PackedTable:
    """The table as bytes: its columns as the distinct texts and a code for each row, because most
    shapes and dtypes of a network recur.

    All texts are made visible here, since many come from files.
    """
    keys = next(column for column in table.columns if column.kind == "key")
    groups = [RowGroup(None, len(keys.values))] if table.groups is None else table.groups
    numbers = range(len(keys.values)) if table.numbers is None else table.numbers
    document = {
        "label": table.label,
        "foot": table.foot,
        "most": table.rows,
        "scope": table.scope,
        "clears": table.clears,
        "file": table.file,
        "chooses": table.chooses,
        "height": table.height,
        "columns": [_column(column) for column in table.columns],
        "states": _states(table.columns, groups),
        "names": [visible(str(name)) for name in keys.values],
        "ids": None if table.numbers is None else list(table.numbers),
        "groups": [_group(group, table.columns) for group in groups],
    }
    body = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    return PackedTable(body, sha256(body).hexdigest()[:16], frozenset(numbers))


def _column(column: Column) -> dict[str, Any]:
    look = {
        "title": visible(column.title),
        "kind": column.kind,
        "hint": visible(column.hint),
        "drop": column.drop,
        "most": column.most,
        "share": column.share or (1 if column.kind == "key" else 0),
        "worded": column.worded,
    }
    if column.kind == "key":
        into = [None if name is None else visible(name) for name in column.into] or None
        return look | {"into": into, "texts": [], "values": None, "codes": []}
    codes: dict[Hashable, int] = {}
    coded = [codes.setdefault(value, len(codes)) for value in column.values]
    values = [_sort_value(column, value) for value in codes]
    return look | {
        "full": column.full or 1,
        "colour": column.colour,
        "texts": [_text(column, value) for value in codes],
        "values": values if any(value is not None for value in values) else None,
        "codes": coded,
    }


def _text(column: Column, value: Any) -> str:
    if column.kind == "image":
        return image_address(value)
    return visible(column.text(value))


def _group(group: RowGroup, columns: Sequence[Column]) -> dict[str, Any]:
    return {
        "title": None if group.title is None else visible(group.title),
        "name": visible(group.name or group.title or ""),
        "prefix": visible(group.prefix),
        "count": group.count,
        "open": group.open,
        "cells": [_sum(column, group.cells.get(column.title)) for column in columns],
    }


def _sum(column: Column, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return {"text": visible(value), "value": None}
    return {"text": visible(column.text(value)), "value": _sort_value(column, value)}


def _sort_value(column: Column, value: Any) -> float | str | None:
    order = column.sort(value) if column.sort else value if isinstance(value, int | float) else None
    if isinstance(order, float) and not math.isfinite(order):
        # JSON has neither of them: what is infinite sorts as the largest number.
        return None if math.isnan(order) else math.copysign(1e308, order)
    return order


def _states(columns: Sequence[Column], groups: Sequence[RowGroup]) -> dict[str, dict[str, str]]:
    words = {
        str(word)
        for column in columns
        if column.kind == "state"
        for word in (*column.values, *(group.cells.get(column.title) for group in groups))
    }
    return {
        word: {"word": word, "mark": mark.sign, "colour": mark.colour}
        for word, mark in STATE_MARKS.items()
        if word in words
    }
