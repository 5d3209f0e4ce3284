"""Several files that are one checkpoint: a folder, or uploads that belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from core.checkpoint.containers.budget import another_file
from core.checkpoint.containers.served_file import FOLDER, ServedFile
from core.checkpoint.containers.sources import LocalFile
from core.checkpoint.entries import Source
from core.errors import SourceError, shown

MAX_FILES = 10_000
"""Files of one set: the largest models have some hundred."""

INDEX = ".index.json"
"""How the index of shards ends."""

MAX_DEPTH = 3
"""Folders in folders that are looked into."""


File: TypeAlias = Path | ServedFile | Source
"""A file of a set; one that lies inside another file is a Source."""


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files by the name that the checkpoint's own index gives them: relative, with `/`.

    `name` is what people call the whole. Where one `index` is meant, what it does not name is left
    alone.
    """

    name: str
    files: Mapping[str, File]
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


def opened(file: File, name: str) -> Source:
    """A file of a set, open, which is called by its name in the set. Raises SourceError."""
    if not isinstance(file, Path | ServedFile):
        return file
    another_file()
    return LocalFile(file, name=name)


def folder_files(folder: Path, depth: int = MAX_DEPTH) -> FileSet:
    """The files of a folder and of those in it to that depth, hidden folders left out, by name.

    What cannot be read in it is left out too. Raises SourceError where the folder itself cannot be
    read, or holds more than MAX_FILES.
    """
    name = shown(folder.name)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    except OSError as error:
        raise unreadable(name, error) from error
    found = files_below(descriptor, name, depth)
    return FileSet(name, {shown(within): folder / within for within, _ in found})


def files_below(folder: int, name: str, depth: int) -> tuple[tuple[str, bool], ...]:
    """The files of an open folder, which is closed then, and of those in it: each one's path in it,
    with `/`, and whether that is a link. Raises as folder_files does."""
    try:
        found = tuple(islice(_walk(folder, "", depth), MAX_FILES + 1))
    except OSError as error:
        raise unreadable(name, error) from error
    if len(found) > MAX_FILES:
        raise SourceError(
            f"The folder {name} holds more than {MAX_FILES:,} files.",
            "Choose the folder that holds only the checkpoint.",
        )
    return found


def unreadable(name: str, error: OSError) -> SourceError:
    """What to say of a folder that cannot be read."""
    return SourceError(
        f"The folder {name} cannot be read: {error.strerror}.", "Check its permissions."
    )


def file_or_set(path: Path) -> Path | FileSet:
    """What is meant by a path: a folder's files, an index's with those beside it, or the file.

    Raises SourceError as folder_files does.
    """
    if os.path.isdir(path):  # unlike Path.is_dir, it raises nothing
        return folder_files(path)
    if indexed_whole(path.name) is not None and os.path.isfile(path):
        name = shown(path.name)
        return FileSet(name, folder_files(path.parent, depth=1).files, name)
    return path


def _walk(folder: int, above: str, depth: int) -> Iterator[tuple[str, bool]]:
    """Close the folder at the end. Folders are opened from the one above them, and never by a link:
    one that takes a folder's place meanwhile leads nowhere."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = f"{above}{entry.name}"
            if _is_file(entry):
                yield path, entry.is_symlink()
            elif depth > 1 and not entry.name.startswith(".") and _is_folder(entry):
                yield from _walk_below(folder, entry.name, path, depth - 1)
    finally:
        os.close(folder)


def _walk_below(folder: int, name: str, path: str, depth: int) -> Iterator[tuple[str, bool]]:
    try:
        below = os.open(name, FOLDER, dir_fd=folder)
        yield from _walk(below, f"{path}/", depth)
    except OSError:
        return  # it may not be read, or is gone: that is no trouble of the others


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # such as a link that leads to itself
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
