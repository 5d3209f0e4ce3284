"""Reads a file of class names: lines, a table, JSON, YAML, a Python literal or a label map."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.errors import LabelsError
from core.predict.labels.label_table import names_in_table
from core.predict.labels.label_texts import names_in_lines, value_in_text, without_repeats
from core.predict.labels.name_lists import NameList, NotNamesError, name_lists
from core.predict.labels.stated_names import search
from core.predict.labels.yaml_values import yaml_value
from core.wording import listed

MAX_BYTES = 4 << 20
"""The largest label file that is read: the 21,843 names of ImageNet's full set take 0.6 MB."""

MAX_LINES = 200_000
"""Lines of a label file: more than any head has outputs."""

LABEL_ENDINGS = ("txt", "json", "jsonl", "csv", "tsv", "yaml", "yml", "names", "pbtxt", "labels")
"""The endings that label files usually have."""

FORMS = "Give one name on each line, a JSON or YAML list, or a CSV with one name in each row."

_ITEM = re.compile(r"\bitem\s*:?\s*\{([^{}]*)\}")
_FIELD = re.compile(r"(\w+)\s*:\s*(?:\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|([^\s,;}]+))")
"""A field of TensorFlow's label maps (object_detection/data/*.pbtxt)."""

_ESCAPE = re.compile(r"\\(.)")

_DOCUMENT = re.compile(r"<(?:\?xml|!doctype|html)|%PDF|\{\\rtf", re.IGNORECASE)
"""The beginning of a document that is text, and no list."""

_TEXT_PICKLE = re.compile(
    r"(?:\([ld]p\d|c(?:copy_reg|__builtin__|builtins|collections|numpy[\w.]*|torch[\w.]*))\r?\n"
)
"""The first line of a pickle of protocol 0, which is text."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A file's name, and its lists of names; several where it has several columns of text."""

    name: str
    columns: tuple[NameList, ...]

    def column(self, title: str = "") -> NameList:
        """The list that a title or a number, counted from 1, names; without one the only list.

        Raises LabelsError where there are several and none is named, or none has that title.
        """
        if not title and len(self.columns) == 1:
            return self.columns[0]
        named = [each for each in self.columns if each.title == title]
        if not named and title.isdecimal() and 0 < int(title[:9]) <= len(self.columns):
            named = [self.columns[int(title[:9]) - 1]]
        if named:
            return named[0]
        titles = listed([each.title for each in self.columns], most=8)
        problem = f"{self.name} has no column of names called {title}."
        if not title:
            problem = (
                f"{self.name} has {len(self.columns)} columns that may be the names: {titles}."
            )
        remedy = f"Choose one of {titles}." if title and titles else "Choose one of them."
        raise LabelsError(problem, remedy)

    def source(self, chosen: NameList) -> str:
        """Where the names come from in words: `column name of pets.csv by its ids`."""
        column = f"{chosen.title} of " if len(self.columns) > 1 else ""
        column = column if not column or column.startswith("column ") else f"column {column}"
        return f"{column}{self.name}" + (f" {chosen.order}" if chosen.order else "")


def read_label_file(data: bytes, name: str) -> LabelFile:
    """Read a file of names by what is in it; its ending decides where that leaves a choice.

    - Text has one name on each line, with a number or a WordNet id beside it or without.
    - JSON, YAML and Python literals are a list, a mapping as `id2label` or `class_to_idx`, records
      as COCO's categories, or a document that has one of these under a usual key.
    - CSV has one name in each row, with a header or without, and numbers in any column.
    - A label map of TensorFlow has items with an id and a name.

    Raises LabelsError.
    """
    if len(data) > MAX_BYTES:
        raise LabelsError(f"{name} is too large for a list of names.", "Choose a smaller file.")
    text = _decoded(data, name)
    ending = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    try:
        if text.count("\n") > MAX_LINES:
            raise NotNamesError("is too long for a list of names")
        lists = _lists_in(text, ending)
    except NotNamesError as error:
        raise LabelsError(f"{name} {error}.", FORMS) from error
    if not lists:
        raise LabelsError(f"{name} contains no list of names.", FORMS)
    return LabelFile(name, lists)


def _decoded(data: bytes, name: str) -> str:
    refusal = LabelsError(
        f"{name} is not a plain text file.", "Save the names as plain text (UTF-8)."
    )
    for encoding in _encodings(data):
        try:
            text = data.decode(encoding).lstrip("\ufeff").strip()
        except UnicodeDecodeError:
            continue
        if _CONTROL.search(text) or _DOCUMENT.match(text) or _TEXT_PICKLE.match(text):
            raise refusal
        return text
    raise refusal


def _encodings(data: bytes) -> tuple[str, ...]:
    """The encodings that the first bytes leave possible, the likeliest first."""
    if data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return ("utf-32",)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ("utf-16",)
    if b"\0" in data[:4] and b"\n" not in data[:1]:  # UTF-16 without its mark
        return ("utf-16-le",) if data[1:2] == b"\0" else ("utf-16-be",)
    return "utf-8-sig", "cp1252"


def _lists_in(text: str, ending: str) -> tuple[NameList, ...]:
    if ending in ("yaml", "yml"):
        return _lists_of(yaml_value(text))
    if _ITEM.match(text) or ending == "pbtxt":
        return _lists_of([_record(item) for item in _ITEM.findall(_without_comments(text))])
    if ending in ("csv", "tsv"):
        return names_in_table(text, "\t" if ending == "tsv" else "")
    value = value_in_text(_without_comments(text) if ending == "py" else text)
    if value is None and text[:1] == "{":
        value = _json_lines(text)
    if value is not None:
        return _lists_of(value)
    if ending == "json":
        raise NotNamesError("is no valid JSON of a list or a mapping")
    if ending == "py":
        raise NotNamesError("is Python code, of which only a single list is read")
    lines = [line for line in text.splitlines() if line.strip()]
    if re.fullmatch(r"\w+:\s*", lines[0] if lines else ""):  # YAML under another ending
        return _lists_of(yaml_value(text))
    for delimiter in "\t;|":
        numbers = {line.count(delimiter) for line in lines}
        if len(lines) > 1 and len(numbers) == 1 and 0 not in numbers:
            return names_in_table(text, delimiter)
    return (names_in_lines(lines),)


def _without_comments(text: str) -> str:
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE).strip()


def _record(item: str) -> dict[str, object]:
    return without_repeats(
        [(field, _ESCAPE.sub(r"\1", "".join(parts))) for field, *parts in _FIELD.findall(item)]
    )


def _json_lines(text: str) -> list[object] | None:
    """The values of a file that has one of JSON on each line."""
    try:
        return [
            json.loads(line, object_pairs_hook=without_repeats)
            for line in text.splitlines()
            if line.strip()
        ]
    except (ValueError, RecursionError):
        return None


def _lists_of(value: object) -> tuple[NameList, ...]:
    """The lists of a value, or of what it has under the usual keys; equal ones once."""
    stated = search(value) if isinstance(value, Mapping) else None
    if stated is None or not (stated.lists or stated.problems):
        return name_lists(value)
    if not stated.lists:
        raise NotNamesError(f"is not usable: {stated.problems[0]}")
    distinct: dict[tuple[str, ...], NameList] = {}
    for each in stated.lists:
        distinct.setdefault(each.names, NameList(each.names, each.path, each.order))
    lists = tuple(distinct.values())
    return lists if len(lists) > 1 else (replace(lists[0], title=""),)
