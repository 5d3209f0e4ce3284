"""Reads names from text: JSON, a Python literal, lines, or names between commas."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence

from core.predict.labels.name_lists import (
    NameList,
    NotNamesError,
    checked_names,
    counts,
    sorted_names,
)

MAX_SIGNS = 300_000
"""Commas, colons and brackets of a Python literal. Each makes a node of some 200 bytes when it is
parsed; 21,843 names with their ids take 110,000."""

TITLE_WORDS = frozenset(
    (
        *("category", "class", "classes", "class_id", "class_name", "id", "idx", "index"),
        *("label", "label_id", "label_name", "labels", "name", "names", "number", "wnid"),
    )
)
"""The words of a first line that are no name but the columns' titles."""

_ASSIGNED = re.compile(r"\s*[A-Za-z_]\w*\s*=\s*(?=[\[({])")
_LONE_ITEM = re.compile(r"(['\"])[^'\"\n]*\1\s*:")
"""The first item of a mapping whose braces were left out."""

_BETWEEN_TEXTS = re.compile(r"(['\"])\s+(?=\1)")
"""Where numpy writes no comma between the texts of an array, which Python reads as one text."""

_BARE_LIST = re.compile(r"[\[(]([^\[\](){}'\"]*)[\])]")
"""A list whose texts have no quotes, as a command line or OmegaConf writes it."""

_NUMBER_FIRST = re.compile(r"\[?(\d{1,9})\]?(\s*(?:->|=>|[:.,;=|)\t–-])\s*|\s+)(\S.*)", re.ASCII)
_NUMBER_LAST = re.compile(r"(\S.*?)(\s*(?:->|=>|[:,;=|\t])\s*|\s+)(\d{1,9})", re.ASCII)
_SYNSET = re.compile(r"n\d{8}[\s,:;]+(\S.*)")
_COMMENT = re.compile(r"#|//")
_SPACES = re.compile(r"(\s)\s+")
"""Runs of spaces, over which the patterns above would take the square of their length."""

_BULLET = re.compile(r"[-*•]\s+(\S.*)")
_BY_IDS = "by its ids"
_SEPARATORS = "\n;|\t,"


def value_in_text(text: str) -> object:
    """The value that a text of JSON or a Python literal has; None if it is neither.

    Raises NotNamesError for JSON with one key twice, of which a reader would see only the last.
    """
    text = text.strip()
    if assigned := _ASSIGNED.match(text):
        text = text[assigned.end() :]
    if text[:1] in ("'", '"') and _LONE_ITEM.match(text):
        text = f"{{{text}}}"
    if text[:1] not in ("[", "{", "("):
        return None
    try:
        return json.loads(text, object_pairs_hook=without_repeats)
    except NotNamesError:
        raise
    except (ValueError, RecursionError):
        pass
    if sum(map(text.count, ",:[]{}()")) > MAX_SIGNS:
        return None
    try:
        return ast.literal_eval(_BETWEEN_TEXTS.sub(r"\1, ", text))
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def without_repeats(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """A mapping of pairs. Raises NotNamesError if a key stands twice."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in mapping if keys.count(key) > 1)
        raise NotNamesError(f"has the key {twice} twice")
    return mapping


def names_in_text(text: str) -> tuple[NameList, ...]:
    """The names in a text of a file's metadata, one a line or between commas; empty for one word,
    such as the name of a data set. Raises NotNamesError."""
    if text.strip()[:1] in ("[", "(", "{"):
        bare = _BARE_LIST.fullmatch(text.strip())
        return (names_in_lines([bare[1]]),) if bare and re.search(r"[^\W\d]", bare[1]) else ()
    for separator in _SEPARATORS:
        parts = [part.strip() for part in text.split(separator) if part.strip()]
        if len(parts) > 1:
            return (names_in_lines(parts),)
    return ()


def names_in_lines(lines: Sequence[str]) -> NameList:
    """One name on each line, with blank lines and comments left out.

    Numbers that count the lines are removed and say the order: `0: cat`, `cat 0`. So are numbers
    with gaps where they stand before the names. WordNet's ids before each name are removed. Raises
    NotNamesError.
    """
    stripped = [_SPACES.sub(r"\1", line.strip()) for line in lines]
    kept = [line for line in stripped if line.strip(",; \t") and not _COMMENT.match(line)]
    if not kept:
        raise NotNamesError("has no names in it")
    names = _unquoted(_without_marks(kept))
    if len(names) == 1 and re.search(r"[,;|\t]", names[0]):
        bare = _BARE_LIST.fullmatch(names[0])
        parts = re.split(r"[,;|\t]", bare[1] if bare else names[0])
        names = [part.strip() for part in parts if part.strip()] or names
    names, order = _unnumbered(names)
    synsets = [hit for name in names if (hit := _SYNSET.fullmatch(name))]
    if len(synsets) == len(names):
        names, order = _unnumbered([hit[1] for hit in synsets])
    return NameList(checked_names(names), order=order)


def _without_marks(lines: list[str]) -> list[str]:
    """The lines without the bullets of a list, and without commas at their ends."""
    bullets = [hit for line in lines if (hit := _BULLET.fullmatch(line))]
    if len(bullets) == len(lines):
        lines = [hit[1] for hit in bullets]
    if len(lines) > 1 and all(line.endswith((",", ";")) for line in lines[:-1]):
        lines = [line.rstrip(",; ") for line in lines]
    return lines


def _unquoted(lines: list[str]) -> list[str]:
    quoted = all(len(line) > 1 and line[0] == line[-1] and line[0] in "'\"" for line in lines)
    return [line[1:-1] for line in lines] if quoted else lines


def _unnumbered(lines: list[str]) -> tuple[list[str], str]:
    """The lines in the order of the numbers in them, without these, and by what they were ordered
    if that changed the order, or the numbers have gaps; the lines themselves if they are not
    numbered."""
    for rows in (lines, lines[1:] if _is_title(lines[0]) else []):
        first = [hit for line in rows if (hit := _NUMBER_FIRST.fullmatch(line))]
        if rows and len(first) == len(rows):
            numbers, names = [int(hit[1]) for hit in first], [hit[3] for hit in first]
            if any(map(_goes_on, first)) or _are_one(names):
                return lines, ""
            if counts(numbers):
                return _strings(sorted_names(numbers, names)), _BY_IDS if _falls(numbers) else ""
            if _differ(names) and (min(numbers) < 2 or len({*numbers}) == len(numbers)):
                if all(hit[2].strip() for hit in first) or max(numbers) < 2 * len(rows):
                    return _strings(sorted_names(numbers, names)), _BY_IDS
                raise NotNamesError("has numbers before its names that do not count from 0 or 1")
        last = [hit for line in rows if (hit := _NUMBER_LAST.fullmatch(line))]
        if rows and len(last) == len(rows):
            numbers, names = [int(hit[3]) for hit in last], [hit[1] for hit in last]
            if counts(numbers) and _differ(names):
                return _strings(sorted_names(numbers, names)), _BY_IDS if _falls(numbers) else ""
            if _differ(names) and all(hit[2].strip() for hit in last):
                raise NotNamesError("has numbers after its names that do not count from 0 or 1")
    return lines, ""


def _is_title(line: str) -> bool:
    words = re.split(r"[\s,;:|]+", line.lower())
    return {*words} <= TITLE_WORDS or re.fullmatch(r"\[\w+\]", line) is not None


def _goes_on(hit: re.Match[str]) -> bool:
    """Whether the number is the beginning of a longer one: `0-2`, `2:30`, `1.5`."""
    return hit[2] in ("-", "–", ":", ".", ",") and hit[3][0].isdecimal()


def _falls(numbers: Sequence[int]) -> bool:
    return list(numbers) != sorted(numbers)


def _are_one(names: Sequence[str]) -> bool:
    """Whether most names are the same but for their numbers: `1 star`, `2 star`."""
    return len({*names}) * 2 <= len(names)


def _differ(names: Sequence[str]) -> bool:
    """Numbers that tell equal names apart belong to them: `grade 0`, `grade 1`."""
    return len({*names}) == len(names)


def _strings(values: Sequence[object]) -> list[str]:
    return [str(value) for value in values]
