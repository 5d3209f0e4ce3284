"""Reads a table of class names: CSV with any usual delimiter, with a header or without."""

from __future__ import annotations

import csv
import re

from core.predict.labels.label_texts import TITLE_WORDS
from core.predict.labels.name_lists import (
    ID_TITLES,
    MAX_COLUMNS,
    NameList,
    NotNamesError,
    checked_names,
    columns,
    plain_key,
    whole_number,
    whole_numbers,
)

DELIMITERS = ",;\t|"

_TITLES = ID_TITLES | {plain_key(word) for word in TITLE_WORDS}

_RULE = re.compile(r":?-{2,}:?")
"""A cell of the line below the titles of a table in Markdown."""

_DELIMITER_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
"""The first line by which Excel knows the delimiter."""


def names_in_table(text: str, delimiter: str = "") -> tuple[NameList, ...]:
    """The columns of names of a table, in the order of its numbers. Raises NotNamesError."""
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and (stated := _DELIMITER_LINE.fullmatch(lines[0].strip())):
        delimiter, lines = stated[1], lines[1:]
    if not lines:
        raise NotNamesError("is empty")
    delimiter = delimiter or max(DELIMITERS, key=lines[0].count)
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    except csv.Error as error:
        raise NotNamesError("is not a valid table") from error
    rows = [row for row in _without_empty_ends(rows) if any(row)]
    if len(rows) > 1 and len(rows[0]) > MAX_COLUMNS:
        raise NotNamesError("has more columns than a list of names needs")
    if rows and not any(cell.startswith("#") for cell in rows[0][1:]):
        rows = [row for row in rows if not re.match(r"#\s", row[0])]
    if not rows:
        raise NotNamesError("is empty")
    rows = [row for row in rows if not all(map(_RULE.fullmatch, filter(None, row)))]
    width = len(rows[0]) if rows else 0
    if len(rows) == 1 and not any(whole_number(cell) is not None for cell in rows[0]):
        return (NameList(checked_names(cell for cell in rows[0] if cell)),)
    if any(len(row) != width for row in rows):
        raise NotNamesError(
            "has rows of different lengths; names with a separator in them need quotes"
        )
    if len(rows) > 1 and _is_header(rows):
        return columns(rows[0], rows[1:])
    return columns([""] * width, rows)


def _without_empty_ends(rows: list[list[str]]) -> list[list[str]]:
    """The rows without the empty cells that separators at all their ends make."""
    ends = [len(row) - len("".join("x" if cell else " " for cell in row).rstrip()) for row in rows]
    cut = min((end for end, row in zip(ends, rows, strict=True) if row), default=0)
    return [row[: len(row) - cut] for row in rows]


def _is_header(rows: list[list[str]]) -> bool:
    """Whether the first row has a usual title, or words in a column of numbers."""
    if any(plain_key(cell) in _TITLES and whole_number(cell) is None for cell in rows[0] if cell):
        return True
    numbers = [whole_numbers([row[at] for row in rows[1:]]) for at in range(len(rows[0]))]
    return any(
        column is not None and whole_number(cell) is None
        for cell, column in zip(rows[0], numbers, strict=True)
    )
