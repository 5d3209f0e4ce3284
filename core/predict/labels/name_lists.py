"""Reads a plain value (a list, a mapping, records, rows) as names in the order of the outputs.

What has no order, or more than one, is refused: a name at the wrong output is worse than none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.wording import listed

MAX_NAMES = 200_000
"""Names of one list; the largest head that timm knows has 115,217 outputs."""

MAX_COLUMNS = 100
"""Columns of a table, or different fields of records; a single row may be the names themselves."""

ID_TITLES = frozenset(
    (
        *("#", "code", "id", "ids", "idx", "index", "ix", "no", "nr", "num", "number", "output"),
        *("class", "category", "label", "target", "value"),
        *("catid", "categoryid", "categoryindex", "classid", "classidx", "classindex", "classno"),
        *("labelid", "labelidx", "labelindex", "targetid", "targetidx"),
    )
)
"""Titles of a column, or names of a field, whose numbers say the order; `plain_key` writes them."""

NOT_IDS = frozenset(
    (
        *("count", "counts", "freq", "frequency", "images", "instances", "n", "occurrences"),
        *("rank", "samples", "score", "size", "support", "total"),
    )
)
"""Titles of a column whose numbers say how many or how good, and never the order of the outputs."""

NAME_FIELDS = ("name", "classname", "labelname", "categoryname", "displayname", "label", "class")
"""Fields of a record that hold the name, the most usual first: a category of COCO has `name` beside
`supercategory`."""

MACHINE_ID = re.compile(r"n\d+|/m/\w+|#[0-9a-fA-F]{6}|https?://\S+")
"""What a program calls a class, which is a name only where there is no other: WordNet's and
Freebase's ids, a colour, an address."""

NUMBERED = re.compile(r"(?:class|label)[ _-]?\d+", re.IGNORECASE)
"""A name that only numbers its class, as transformers' `LABEL_0`, which stands in a configuration
until somebody gives names."""

_WHOLE_NUMBER = re.compile(r"\s*(-?\d{1,9})(?:\.0+)?\s*", re.ASCII)

INDEX_FIRST = re.compile(r"(?:id|idx|ind|index|int|i|num)(?:2|to)\w+")
NAME_FIRST = re.compile(r"\w+(?:2|to)(?:id|idx|ids|ind|index|indices|int|num)")
"""Keys that say which side of a mapping has the numbers: `idx_to_class`, `class_to_idx`."""


class NotNamesError(ValueError):
    """A value holds no names in a known order. The text is a clause on why: `is empty`."""


@dataclass(frozen=True, slots=True)
class NameList:
    """Names in the order of the outputs.

    `title` is that of its column, or its path, where a value has several lists. `order` says by
    what the names were sorted, if by numbers that have gaps: `by its ids`.
    """

    names: tuple[str, ...]
    title: str = ""
    order: str = ""


def plain_key(key: object) -> str:
    """A key or a title without case, spaces and signs: `Class Names` and `class_names` are one."""
    text = str(key).strip().lower()
    return text if text == "#" else re.sub(r"[^a-z0-9]", "", text)


def name_lists(value: object, key: str = "") -> tuple[NameList, ...]:
    """The lists of names that a value can be read as: one, or one for each column of several.

    `key` is what the value is called, such as `class_to_idx`. Empty for what is no collection of
    names, such as a number. Raises NotNamesError.
    """
    if isinstance(value, set | frozenset):
        raise NotNamesError("is a set, and a set has no order")
    if isinstance(value, Mapping | list | tuple):
        if not value:
            raise NotNamesError("is empty")
        if len(value) > MAX_NAMES:
            raise NotNamesError("is too long for a list of names")
        return _of_mapping(value, key) if isinstance(value, Mapping) else _of_list(value)
    return ()


def checked_names(values: Iterable[object]) -> tuple[str, ...]:
    """The values as names with single spaces. Raises NotNamesError if one is no name."""
    names = []
    for position, value in enumerate(values):
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise NotNamesError(f"has something other than a name at {position}")
        name = " ".join(str(value).split())
        if not name:
            raise NotNamesError(f"has an empty name at {position}")
        names.append(name)
    if names and all(NUMBERED.fullmatch(name) for name in names):
        raise NotNamesError(f"only numbers the classes, as in {names[0]}")
    return tuple(names)


def whole_number(value: object) -> int | None:
    """A number of an output: a whole number, or a text of one."""
    if isinstance(value, str):
        hit = _WHOLE_NUMBER.fullmatch(value)
        return int(hit[1]) if hit else None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= 1e9:
        return None
    return int(value) if float(value).is_integer() else None


def whole_numbers(values: Iterable[object]) -> list[int] | None:
    """The numbers, or None if one of the values is none."""
    numbers = []
    for value in values:
        number = whole_number(value)
        if number is None:
            return None
        numbers.append(number)
    return numbers


def counts(numbers: Sequence[int]) -> bool:
    """Whether the numbers are 0, 1, 2 and so on, or 1, 2, 3 and so on, in any order."""
    first = min(numbers, default=0)
    return first in (0, 1) and sorted(numbers) == list(range(first, first + len(numbers)))


def sorted_names(numbers: Sequence[int], names: Sequence[object]) -> list[object]:
    """The names sorted by their numbers. Raises NotNamesError if a number stands twice."""
    number, times = Counter(numbers).most_common(1)[0]
    if times > 1:
        raise NotNamesError(f"gives the number {number} to {times} names")
    return [names[row] for row in sorted(range(len(numbers)), key=numbers.__getitem__)]


def _of_list(values: Sequence[object]) -> tuple[NameList, ...]:
    first = values[0]
    if all(isinstance(value, Mapping) and len(value) == 1 for value in values) and len(values) > 1:
        pairs = [pair for value in values if isinstance(value, Mapping) for pair in value.items()]
        if len({key for key, _ in pairs}) == len(pairs):
            return _of_mapping(dict(pairs), "")
    if all(isinstance(value, Mapping) for value in values):
        return _of_records([value for value in values if isinstance(value, Mapping)])
    if len(values) == 1 and isinstance(first, list | tuple) and len(first) > 1:
        return _of_list(first)
    rows = [value for value in values if isinstance(value, list | tuple)]
    if len(rows) == len(values):
        width = len(rows[0])
        if any(len(row) != width for row in rows):
            raise NotNamesError("has rows of different lengths")
        return columns([""] * width, rows)
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) == len(values) and (numbers != sorted({*numbers}) or not _whole(numbers)):
        return ()  # the label of each image, perhaps; the numbers of classes ascend
    return (NameList(checked_names(values)),)


def _whole(numbers: Sequence[object]) -> bool:
    return all(isinstance(number, int) for number in numbers)


def _of_records(records: Sequence[Mapping[object, object]]) -> tuple[NameList, ...]:
    titles = [*dict.fromkeys(field for record in records for field in record)]
    if len(titles) > MAX_COLUMNS:
        raise NotNamesError("has more fields than a list of names needs")
    rows = [[record.get(title) for title in titles] for record in records]
    lists = columns([str(title) for title in titles], rows)
    for field in NAME_FIELDS:
        named = [each for each in lists if plain_key(each.title) == field]
        if named:
            return (NameList(named[0].names, order=named[0].order),)
    return lists


def _of_mapping(value: Mapping[object, object], key: str) -> tuple[NameList, ...]:
    keys, entries = [*value], [*value.values()]
    numbers = whole_numbers(keys)
    if all(isinstance(entry, Mapping) for entry in entries):
        fields = [dict(entry) for entry in entries if isinstance(entry, Mapping)]
        if numbers is not None:
            rows = [{"index": n} | each for n, each in zip(numbers, fields, strict=True)]
            return _of_records(rows)
        ids = [_stated_number(each) for each in fields]
        positions = [number for number in ids if number is not None]
        if len(positions) < len(ids):
            raise NotNamesError("maps names to what is no number, which gives no order")
        return (_counted(positions, keys),)
    if all(isinstance(entry, list | tuple) for entry in entries) and numbers is not None:
        lines = [[n, *entry] for n, entry in zip(numbers, entries, strict=True)]  # type: ignore[misc]
        return _of_list(lines)
    positions_of_names = whole_numbers(entries)
    if numbers is None and positions_of_names is None:
        numbers = _numbered_alike(keys)
    if numbers is None and positions_of_names is None:
        raise NotNamesError("maps names to what is no number, which gives no order")
    if positions_of_names is None or (
        numbers is not None and _keys_are_numbers(keys, entries, plain_key(key))
    ):
        assert numbers is not None
        return (_counted(numbers, entries),)
    return (_counted(positions_of_names, keys),)


def _stated_number(record: Mapping[object, object]) -> int | None:
    """The number of a record in the field that says the order."""
    fields = [whole_number(value) for key, value in record.items() if plain_key(key) in ID_TITLES]
    return fields[0] if len(fields) == 1 else None


def _numbered_alike(keys: Sequence[object]) -> list[int] | None:
    """The numbers at the ends of keys that are otherwise the same: `class_0`, `class_1`."""
    hits = [re.fullmatch(r"(\D*)(\d{1,9})", str(key), re.ASCII) for key in keys]
    found = [hit for hit in hits if hit]
    alike = len(found) == len(keys) and len({hit[1] for hit in found}) == 1
    return [int(hit[2]) for hit in found] if alike else None


def _keys_are_numbers(keys: Sequence[object], entries: Sequence[object], key: str) -> bool:
    """Whether the keys are the outputs' numbers, where keys and entries both are numbers."""
    if INDEX_FIRST.fullmatch(key):
        return True
    if NAME_FIRST.fullmatch(key):
        return False
    texts = [all(isinstance(each, str) for each in side) for side in (keys, entries)]
    if texts[0] != texts[1]:
        return texts[1]
    if whole_numbers(keys) == whole_numbers(entries):
        return True
    raise NotNamesError("maps numbers to numbers, and does not say which are the outputs")


def _counted(numbers: Sequence[int], names: Sequence[object]) -> NameList:
    ordered = sorted_names(numbers, names)
    if not counts(numbers):
        shown = listed([str(number) for number in sorted(numbers)])
        raise NotNamesError(f"has numbers that do not count from 0 or 1: {shown}")
    return NameList(checked_names(ordered))


def columns(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> tuple[NameList, ...]:
    """Each column of names, in the order of a column of numbers if there is one.

    `titles` are empty where they are unknown. Raises NotNamesError.
    """
    cells = [[row[at] for row in rows] for at in range(len(titles))]
    numbers = {at: found for at, column in enumerate(cells) if (found := whole_numbers(column))}
    ids = {at: found for at, found in numbers.items() if plain_key(titles[at]) not in NOT_IDS}
    if any(min(each) < 0 for each in numbers.values()):
        raise NotNamesError("has a number below 0, which no output has")
    by = None if len(titles) == 1 else _ordering(titles, ids)
    texts = [at for at, column in enumerate(cells) if at not in numbers and _is_text(column)]
    naming = [at for at in texts if not _says_little(cells[at])]
    others = [at for at in numbers if at != by and plain_key(titles[at]) not in ("id", "index")]
    chosen = naming or texts[:1] or others[:1]
    if not chosen:
        raise NotNamesError("has no names in it")
    gaps = by is not None and not counts(numbers[by])
    return tuple(
        NameList(
            checked_names(cells[at] if by is None else sorted_names(numbers[by], cells[at])),
            titles[at] or f"column {at + 1}" if len(chosen) > 1 or titles[at] else "",
            "by its ids" if gaps else "",
        )
        for at in chosen
    )


def _ordering(titles: Sequence[str], numbers: Mapping[int, Sequence[int]]) -> int | None:
    """The column whose numbers say the order of the names; None if the rows' own order does."""
    titled = [at for at in numbers if plain_key(titles[at]) in ID_TITLES]
    counting = [at for at in numbers if counts(numbers[at])]
    candidates = [at for at in titled if at in counting] or titled or counting
    orders = {tuple(_ranks(numbers[at])) for at in candidates}
    if len(orders) > 1:
        raise NotNamesError("has two columns of numbers that order the names differently")
    if candidates:
        return candidates[0]
    untitled = [at for at in numbers if not titles[at]]
    if len(numbers) < len(titles) and any(_falls(numbers[at]) for at in untitled):
        raise NotNamesError("has numbers that do not count from 0 or 1, and no title says what of")
    return None


def _ranks(numbers: Sequence[int]) -> list[int]:
    return sorted(range(len(numbers)), key=numbers.__getitem__)


def _falls(numbers: Sequence[int]) -> bool:
    return list(numbers) != sorted({*numbers})


def _is_text(column: Sequence[object]) -> bool:
    return all(isinstance(cell, str | int) and not isinstance(cell, bool) for cell in column) and (
        any(str(cell).strip() for cell in column)
    )


def _says_little(column: Sequence[object]) -> bool:
    """Whether a column has only ids of a program, or one word for all rows."""
    texts = [str(cell).strip() for cell in column]
    return all(MACHINE_ID.fullmatch(text) for text in texts) or len({*texts}) == 1 < len(texts)
