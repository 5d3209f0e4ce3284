"""Several files that are one checkpoint: a folder, or uploads that belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.checkpoint.entries import Source
from core.checkpoint.sources import LocalFile
from core.checkpoint.work import another_file
from core.errors import SourceError

MAX_FILES = 10_000
"""Files of one set: the largest models have some hundred."""

INDEX = ".index.json"
"""How the index of shards ends."""

MAX_DEPTH = 3
"""Folders in folders that are looked into."""


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files by the name that the checkpoint's own index gives them: relative, with `/`.

    `name` is what people call the whole. A file that lies inside another one is a Source. Where
    one `index` is meant, what it does not name is left alone.
    """

    name: str
    files: Mapping[str, Path | Source]
    index: str | None = None


_INDEX = re.compile(r"(.+?)(\.\w+)\.index(\.[\w-]+)?\.json")


def indexed_whole(name: str) -> str | None:
    """What the one file would be called that an index's shards were cut from; None where a file of
    this name is no index.

    `model.fp16.safetensors` for `model.safetensors.index.fp16.json`, the variants that transformers
    and diffusers write (transformers/modeling_utils.py, _add_variant).
    """
    found = _INDEX.fullmatch(name)
    return None if found is None else f"{found[1]}{found[3] or ''}{found[2]}"


def opened(file: Path | Source, name: str) -> Source:
    """A file of a set, open, which is called by its name in the set. Raises SourceError."""
    if not isinstance(file, Path):
        return file
    another_file()
    return LocalFile(file, name=name)


def folder_files(folder: Path, depth: int = MAX_DEPTH) -> FileSet:
    """The files of a folder and of those in it to that depth, hidden folders left out, by name.

    Raises SourceError where the folder cannot be read, or holds more than MAX_FILES.
    """
    files: dict[str, Path | Source] = {}
    try:
        for path in _walk(folder, depth):
            files[path.relative_to(folder).as_posix()] = path
            if len(files) > MAX_FILES:
                raise SourceError(
                    f"The folder {folder.name} holds more than {MAX_FILES:,} files.",
                    "Choose the folder that holds only the checkpoint.",
                )
    except OSError as error:
        raise SourceError(
            f"The folder {folder.name} cannot be read: {error.strerror}.",
            "Check its permissions.",
        ) from error
    return FileSet(folder.name, files)


def file_or_set(path: Path) -> Path | FileSet:
    """What is meant by a path: a folder's files, an index's with those beside it, or the file.

    Raises SourceError as folder_files does.
    """
    if path.is_dir():
        return folder_files(path)
    if indexed_whole(path.name) is not None and path.is_file():
        return FileSet(path.name, folder_files(path.parent, depth=1).files, path.name)
    return path


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.is_file():
            yield path
        elif depth > 1 and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from _walk(path, depth - 1)
