"""The names of a model's classes, and where they come from."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from core.errors import LabelsError
from core.inputs import FROM_CHECKPOINT
from core.wording import counted

LABEL_KEYS = (
    "classes",
    "class_names",
    "class_to_idx",
    "idx_to_class",
    "id2label",
    "label2id",
    "labels",
    "label_names",
    "categories",
    "names",
)
"""Metadata keys under which training scripts keep the names, the most specific first:
`class_to_idx` is torchvision's ImageFolder's, `id2label` transformers', `names` YOLO's."""

DEPTH = 4
"""How many levels deep in the metadata the names are searched; `hyper_parameters.data.classes` is
found."""


@dataclass(frozen=True, slots=True)
class Labels:
    """One name for each output of a model, in order.

    `source` says in words where they come from. `guessed`: neither a person nor the file states
    that they belong to this model. `numbered`: they only number the outputs, as no names are known.
    """

    names: tuple[str, ...]
    source: str
    guessed: bool = False
    numbered: bool = False


class HasMetadata(Protocol):
    """The part of a Checkpoint that is needed here."""

    @property
    def metadata(self) -> Mapping[str, object]:
        """Everything in the file that is not a tensor."""


def choose_labels(
    outputs: int,
    checkpoint: HasMetadata | None = None,
    uploaded: Sequence[str] | None = None,
    uploaded_name: str = "your list",
) -> Labels:
    """The names for a model with that many outputs; 0 where no image reached the model.

    They are the person's own, else the checkpoint's, else ImageNet's for 1,000 outputs, else
    numbers. Raises LabelsError if the person's own list has another length. A checkpoint's list of
    another length is ignored, and `source` says so.
    """
    if not outputs:
        return Labels((), "none, because no image reached the model", guessed=True)
    if uploaded is not None:
        if len(uploaded) != outputs:
            raise LabelsError(
                f"{uploaded_name} has {counted(len(uploaded), 'name')}, the model has "
                f"{counted(outputs, 'output')}.",
                "Give a list with one name for each output, in the order of training.",
            )
        return Labels(tuple(uploaded), uploaded_name)
    ignored = ""
    if checkpoint is not None:
        lengths = []
        for path, names in _lists_in(checkpoint.metadata):
            if len(names) == outputs:
                return Labels(names, f"{FROM_CHECKPOINT} {path}")
            lengths.append(f"{path} has {len(names)} names")
        if lengths:
            ignored = f"; the checkpoint's {lengths[0]}, the model {outputs} outputs"
    if outputs == len(imagenet_labels()):
        source = "guessed: ImageNet's names, as there are 1,000 outputs"
        return Labels(imagenet_labels(), source + ignored, guessed=True)
    numbers = tuple(f"class {index}" for index in range(outputs))
    source = "numbers, since no names are known"
    return Labels(numbers, source + ignored, guessed=True, numbered=True)


@cache
def imagenet_labels() -> tuple[str, ...]:
    """ImageNet-1k's 1,000 names in the usual order, by torchvision's weights."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])


def labels_in(checkpoint: HasMetadata) -> tuple[str, ...] | None:
    """The first list of class names in a checkpoint's metadata, or None."""
    return next((names for _, names in _lists_in(checkpoint.metadata)), None)


def _lists_in(metadata: Mapping[str, object]) -> list[tuple[str, tuple[str, ...]]]:
    """Each list of names as (path, names), the most specific key first, then the shallowest."""
    lists = [
        (LABEL_KEYS.index(path.split(".")[-1].lower()), path.count("."), path, names)
        for path, value in _entries(metadata, "", DEPTH)
        if (names := _names(value))
    ]
    return [(path, names) for _, _, path, names in sorted(lists)]


def _entries(tree: Mapping[str, object], path: str, depth: int) -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        where = f"{path}.{key}" if path else str(key)
        if str(key).lower() in LABEL_KEYS:
            yield where, value
        elif isinstance(value, Mapping) and depth > 1:
            yield from _entries(value, where, depth - 1)


def _names(value: object) -> tuple[str, ...] | None:
    """Names from a list, or from a mapping of numbers to names or of names to numbers.

    None if the value is neither, or if the numbers are not 0, 1, 2 and so on.
    """
    if isinstance(value, list | tuple):
        return _texts(value)
    if not isinstance(value, Mapping) or not value:
        return None
    by_number: dict[int, object] = {}
    for key, entry in value.items():
        number, name = (entry, key) if isinstance(entry, int) else (_number(key), entry)
        if number is None or number in by_number:
            return None
        by_number[number] = name
    if sorted(by_number) != list(range(len(by_number))):
        return None
    return _texts([by_number[number] for number in range(len(by_number))])


def _number(key: object) -> int | None:
    text = str(key)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _texts(values: Sequence[object]) -> tuple[str, ...] | None:
    """The names with single spaces; None if one is not a text or a whole number, or is empty."""
    names = []
    for value in values:
        # ImageNet's own index files have pairs of (synset, name).
        last = value[-1] if isinstance(value, list | tuple) and value else value
        if not isinstance(last, str | int) or isinstance(last, bool):
            return None
        names.append(" ".join(str(last).split()))
    return tuple(names) if names and all(names) else None


MAX_BYTES = 4 << 20
"""The largest label file that is read: the 21,843 names of ImageNet's full set take 0.6 MB."""


def parse_labels(data: bytes, name: str) -> tuple[str, ...]:
    """Names from a text file, a JSON file or a CSV file.

    A text file has one name on each line; JSON is a list, or a mapping as in `id2label` or
    `class_to_idx`; CSV has one name in each row, with or without a header, and numbers and names in
    any column. Raises LabelsError.
    """
    if len(data) > MAX_BYTES:
        raise LabelsError(f"{name} is too large for a list of names.", "Choose a smaller file.")
    text = _decode(data, name)
    kind = name.rsplit(".", 1)[-1].lower()
    if kind == "json" or (kind not in ("txt", "csv", "tsv") and text[:1] in ("[", "{")):
        names = _from_json(text, name)
    elif kind in ("csv", "tsv"):
        names = _from_table(text, name, "\t" if kind == "tsv" else None)
    else:
        names = _from_lines(text)
    if not names:
        raise LabelsError(
            f"{name} contains no list of names.",
            "Give one name on each line, a JSON list, or a CSV with one name in each row.",
        )
    return names


def _decode(data: bytes, name: str) -> str:
    for encoding in (
        ("utf-8-sig", "utf-16")
        if data[:2] in (b"\xff\xfe", b"\xfe\xff")
        else (
            "utf-8-sig",
            "cp1252",
        )
    ):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.strip()
    raise LabelsError(f"{name} is not a text file.", "Save the names as plain text (UTF-8).")


def _from_json(text: str, name: str) -> tuple[str, ...] | None:
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelsError(f"{name} is not valid JSON.", "Check its brackets and commas.") from error
    names = _names(tree)
    if names is None and isinstance(tree, Mapping):
        return next((listed for _, listed in _lists_in(tree)), None)
    return names


def _from_lines(text: str) -> tuple[str, ...] | None:
    """The lines as names.

    Leading numbers (`0: cat`, `0 cat`, `0, cat`) are removed if they count the lines; leading
    WordNet ids (`n01440764 tench`) are removed if each line has one.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d{1,9})\s*[:,.\t ]\s*(\S.*)", line) for line in lines]
    counts = [int(hit[1]) for hit in numbered if hit]
    if len(counts) == len(lines) and counts in (_count(lines, 0), _count(lines, 1)):
        lines = [hit[2] for hit in numbered if hit]
    synsets = [re.fullmatch(r"n\d{8}[\s,:]+(\S.*)", line) for line in lines]
    if all(synsets):
        lines = [hit[1] for hit in synsets if hit]
    return _texts(lines)


def _count(lines: Sequence[str], start: int) -> list[int]:
    return list(range(start, start + len(lines)))


def _from_table(text: str, name: str, delimiter: str | None) -> tuple[str, ...] | None:
    lines = text.splitlines()
    if delimiter is None:
        delimiter = max(",;\t", key=lines[0].count) if lines else ","
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise LabelsError(f"{name} is not a valid table.", "Save it again as CSV.") from error
    return _from_rows(rows)


def _from_rows(rows: Sequence[Sequence[str]]) -> tuple[str, ...] | None:
    """The last column of names, in the order of a column that counts if there is one."""
    if not rows:
        return None
    width = min(map(len, rows))
    if len(rows) > 1 and _is_header(rows):
        rows = rows[1:]
    columns = [[row[i].strip() for row in rows] for i in range(width)]
    counting = [i for i, column in enumerate(columns) if _counts(column)]
    naming = [i for i in range(width) if i not in counting]
    if not naming:
        return _texts(columns[0])
    names = columns[naming[-1]]
    if counting:
        order = sorted(range(len(rows)), key=lambda row: int(columns[counting[0]][row]))
        names = [names[row] for row in order]
    return _texts(names)


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has a usual title, or text in a column whose other cells count."""
    titles = {"name", "names", "label", "labels", "class", "classes", "class_name", "category"}
    titles |= {"id", "index", "idx"}
    first = [cell.strip().lower() for cell in rows[0]]
    return any(cell in titles for cell in first) or (
        not first[0].isdigit() and _counts([row[0].strip() for row in rows[1:]])
    )


def _counts(column: Sequence[str]) -> bool:
    """Whether the cells are 0, 1, 2 and so on, or 1, 2, 3 and so on, in any order."""
    if not all(cell.isascii() and cell.isdigit() and len(cell) < 10 for cell in column):
        return False
    numbers = sorted(map(int, column))
    return numbers in (_count(column, 0), _count(column, 1))
