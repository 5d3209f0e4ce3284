"""Several files that make up one checkpoint: a folder, or uploads that belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from core.checkpoint.containers.budget import another_file
from core.checkpoint.containers.served_file import FOLDER, ServedFile
from core.checkpoint.containers.sources import LocalFile
from core.checkpoint.entries import Source
from core.errors import SourceError, shown
from core.wording import count

MAX_FILES = 10_000
"""Files in one set; the largest models have some hundred."""

INDEX = ".index.json"
"""The end of the name of an index of shards."""

MAX_DEPTH = 3
"""Levels of folders that are searched, the outermost included."""


File: TypeAlias = Path | ServedFile | Source
"""A file of a set; one inside an archive is a Source."""


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files by their relative paths, with `/`, as the checkpoint's own index names them.

    `name` is the name of the whole on screen. With `index`, the name of an index in `files`, only
    the files that it names are read. `within` is the folder in an archive that contains all files,
    with its slash; None for files that are in no archive. `archive` is that archive, and `others()`
    returns its other members by their paths, None for one that cannot be unpacked.
    """

    name: str
    files: Mapping[str, File]
    index: str | None = None
    within: str | None = None
    archive: Source | None = None
    others: Callable[[], Mapping[str, Source | None]] = dict


_INDEX = re.compile(r"(.+?)(\.\w+)\.index(\.[\w-]+)?\.json")


def unsharded_name(name: str) -> str | None:
    """The name of the file that an index's shards were split from; None if `name` is no index's.

    `model.fp16.safetensors` for `model.safetensors.index.fp16.json`, the variants that transformers
    and diffusers write (transformers/modeling_utils.py, _add_variant).
    """
    match = _INDEX.fullmatch(name)
    return None if match is None else f"{match[1]}{match[3] or ''}{match[2]}"


def opened(file: File, name: str) -> Source:
    """Open a file of a set; errors call it `name`. Raises SourceError."""
    if isinstance(file, Path | ServedFile):
        another_file()
    return source_of(file, name)


def source_of(file: File, name: str) -> Source:
    """Open a file of a set as `opened` does, but add nothing to the budget of work for it."""
    return LocalFile(file, name=name) if isinstance(file, Path | ServedFile) else file


def files_beside(files: FileSet, read: Collection[str]) -> Mapping[str, Source | None]:
    """The files of a set and its archive that are not among those `read`, hidden ones left out.

    None stands for one that cannot be opened. An index names all that belongs to it.
    """
    if files.index is not None:
        return {}
    beside: dict[str, Source | None] = {
        path.removeprefix(files.within or ""): member for path, member in files.others().items()
    }
    for name in files.files:
        if name not in read:
            try:
                beside[name] = source_of(files.files[name], name)
            except SourceError:
                beside[name] = None
    return {name: file for name, file in beside.items() if not _is_hidden(name)}


def _is_hidden(name: str) -> bool:
    return name.rpartition("/")[2].startswith(".")


def folder_files(folder: Path, depth: int = MAX_DEPTH) -> FileSet:
    """The files of a folder and its subfolders, `depth` levels in all, hidden ones left out.

    Subfolders that cannot be read are left out too. Raises SourceError where the folder itself
    cannot be read, or contains more than MAX_FILES files.
    """
    name = shown(_name_of(folder))
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    except OSError as error:
        raise unreadable(name, error) from error
    paths = files_below(descriptor, name, depth)
    return FileSet(name, {shown(within): folder / within for within, _ in paths})


def _name_of(folder: Path) -> str:
    """The folder's own name, also where the path is `.` or ends in `..`; `/` has no other."""
    if folder.name not in {"", ".."}:
        return folder.name
    return os.path.basename(os.path.realpath(folder)) or str(folder)


def files_below(folder: int, name: str, depth: int) -> tuple[tuple[str, bool], ...]:
    """The files of an open folder and its subfolders, each as (relative path, is a symlink).

    `folder` is a descriptor, which this function closes. Raises as folder_files does.
    """
    try:
        paths = tuple(islice(_walk(folder, "", depth), MAX_FILES + 1))
    except OSError as error:
        raise unreadable(name, error) from error
    if len(paths) > MAX_FILES:
        raise SourceError(
            f"The folder {name} contains more than {count(MAX_FILES)} files.",
            "Choose the folder that contains only the checkpoint.",
        )
    return paths


def unreadable(name: str, error: OSError) -> SourceError:
    """The error for a folder that cannot be read."""
    return SourceError(
        f"The folder {name} cannot be read: {error.strerror}.", "Check its permissions."
    )


def file_or_set(path: Path) -> Path | FileSet:
    """The files that a path stands for: those of a folder, an index with its shards, or the file.

    Raises SourceError as folder_files does.
    """
    if os.path.isdir(path):  # unlike Path.is_dir, it raises nothing
        return folder_files(path)
    if unsharded_name(path.name) is not None and os.path.isfile(path):
        name = shown(path.name)
        return FileSet(name, folder_files(path.parent, depth=1).files, name)
    return path


def _walk(folder: int, above: str, depth: int) -> Iterator[tuple[str, bool]]:
    """Yield the files below an open folder, and close it at the end.

    A subfolder is opened relative to the descriptor of its parent, and never through a link: where
    a link replaces a folder meanwhile, opening it fails.
    """
    try:
        with os.scandir(folder) as entries:
            children = sorted(entries, key=lambda entry: entry.name)
        for entry in children:
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
        return  # a folder that is gone or forbidden is left out; the others can still be read


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # such as a link to itself
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
