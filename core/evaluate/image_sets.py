"""Images whose classes are known: a folder for each class, a zip of such folders, or a CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path, PurePosixPath

from core.errors import ImageError, LabelsError, SourceError
from core.images import IMAGE_ENDINGS, ZipImages, image_files, too_large
from core.wording import count, counted, listed

MOST_BYTES = 256 << 20
"""The most bytes of one image file, and of a CSV: a million rows of 200 characters."""

PATH_TITLES = ("path", "file", "filename", "file_name", "image", "image_path", "filepath")
LABEL_TITLES = ("label", "class", "target", "category", "class_name", "label_name")
"""What the columns of a CSV with a header are called, the likeliest first."""

SEPARATORS = ",;\t"


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image of a labelled set: its path in the set, and its true class as the set calls it.

    `read` returns the bytes of the file; it raises ImageError, and may be called by any thread.
    """

    name: str
    label: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images of a labelled set, of which none is read yet, with what was left out in words."""

    images: tuple[LabelledImage, ...]
    note: str = ""


@contextmanager
def labelled_images(path: Path) -> Iterator[ImageSet]:
    """The labelled images that a path names, as long as the context lasts.

    In a folder, the class of an image is the name of the first folder on the way to it, as in
    torchvision's ImageFolder; in a zip, that of the first one below the folder that all images have
    in common. A CSV (or TSV) has a path and a label in each row, with a header or without one, and
    its paths are relative to itself. Raises SourceError, ImageError and LabelsError.
    """
    if path.is_dir():
        yield _by_folder(
            [(name, partial(_file_bytes, name, where)) for name, where in image_files([path])]
        )
    elif not path.exists():
        raise SourceError(f"{path} does not exist.", "Check the path.")
    elif path.suffix.lower() == ".zip":
        with ZipImages(path, path.name) as packed:
            shared = _shared_folders(packed.names)
            yield _by_folder(
                [
                    ("/".join(_parts(name)[shared:]), partial(packed.read, name, MOST_BYTES))
                    for name in packed.names
                ]
            )
    elif path.suffix.lower() in (".csv", ".tsv", ".txt"):
        yield ImageSet(_of_table(path))
    else:
        raise ImageError(
            f"{path} is no set of labelled images.",
            "Name a folder with a folder for each class, a zip of one, or a CSV of path,label.",
        )


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name).parts


def _by_folder(files: Sequence[tuple[str, Callable[[], bytes]]]) -> ImageSet:
    images = tuple(
        LabelledImage(name, _parts(name)[0], read) for name, read in files if len(_parts(name)) > 1
    )
    if not images:
        raise ImageError(
            "The images are in no folders, so their classes are not known.",
            "Put the images of each class into a folder that is called like the class, "
            "or name a CSV of path,label.",
        )
    alone = len(files) - len(images)
    note = f"{counted(alone, 'image')} in no class's folder left out." if alone else ""
    return ImageSet(images, note)


def _shared_folders(names: Sequence[str]) -> int:
    """How many folders all paths begin with, such as the one of `val/`: the classes are below."""
    parents = [_parts(name)[:-1] for name in names]
    first, last = min(parents), max(parents)
    differing = (place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    shared = next(differing, min(len(first), len(last)))
    # Where images lie in the last of those folders, it is itself the class.
    return max(0, shared - 1) if any(len(parent) == shared for parent in parents) else shared


def _file_bytes(name: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ImageError(
            f"{name} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
    if len(data) > MOST_BYTES:
        raise too_large(name, MOST_BYTES)
    return data


def _of_table(path: Path) -> tuple[LabelledImage, ...]:
    """The images of a CSV's rows. Raises LabelsError."""
    try:
        text = _file_bytes(path.name, path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelsError(f"{path.name} is not UTF-8.", "Save it as UTF-8.") from error
    separator = max(SEPARATORS, key=text.partition("\n")[0].count)
    rows = list(_rows(csv.reader(StringIO(text, newline=""), delimiter=separator), path.name))
    head = rows[0][1] if rows else []
    columns = _columns(head)
    if rows and columns is None and not _is_image_name(head[0]):
        raise LabelsError(
            f"{path.name} begins with {listed(head, 6)}, which is neither a header nor the row of "
            "an image.",
            "Call the columns path and label.",
        )
    images = rows if columns is None else rows[1:]
    if not images:
        raise LabelsError(f"{path.name} has no rows.", "Give each image a row: path,label.")
    return tuple(_of_row(row, line, columns or (0, 1), path) for line, row in images)


def _rows(rows: Iterable[list[str]], name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with its number, which counts all of them from 1."""
    try:
        for number, row in enumerate(rows, 1):
            if any(cell.strip() for cell in row):
                yield number, [cell.strip() for cell in row]
    except csv.Error as error:
        raise LabelsError(f"{name} cannot be read as CSV: {error}.", "Save it as CSV.") from error


def _columns(head: Sequence[str]) -> tuple[int, int] | None:
    """Where a header has the path and the label; None if it is no header."""
    titles = [cell.casefold() for cell in head]
    path = next((titles.index(each) for each in PATH_TITLES if each in titles), None)
    label = next((titles.index(each) for each in LABEL_TITLES if each in titles), None)
    return None if path is None or label is None else (path, label)


def _of_row(row: Sequence[str], line: int, columns: tuple[int, int], path: Path) -> LabelledImage:
    if len(row) <= max(columns) or not all(row[column] for column in columns):
        raise LabelsError(
            f"Row {count(line)} of {path.name} has no path or no label.",
            "Give each image a row: path,label.",
        )
    name, label = (row[column] for column in columns)
    return LabelledImage(name, label, partial(_file_bytes, name, path.parent / name))


def _is_image_name(cell: str) -> bool:
    return PurePosixPath(cell).suffix[1:].lower() in IMAGE_ENDINGS
