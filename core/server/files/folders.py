"""The server folders that people may browse, and nothing beside them.

What opens by a link is what is listed: no part of its path is hidden, it is a regular file with a
checkpoint's ending or a folder, and its real path lies in the root. That holds of what is opened,
not only of what was looked at before (see core/checkpoint/containers/served_file.py).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from core.checkpoint.containers import (
    INDEX,
    MAX_DEPTH,
    File,
    FileSet,
    ServedFile,
    files_below,
    indexed_whole,
    open_folder,
    unreadable,
)
from core.checkpoint.sets import COMPONENTS, DATA, LATEST, METADATA, is_one_checkpoint
from core.errors import SourceError, printable, shown

SUFFIXES = (
    *(".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pt2", ".pkl", INDEX),
    *(".tar", ".zip", ".gz", ".tgz", ".bz2", ".xz"),
)
"""How checkpoint files end, and archives that one may lie in; others are not listed."""

PARTS = (METADATA, COMPONENTS, LATEST)
"""Files that are read, or looked for, beside others only."""

MAX_ENTRIES = 5_000
"""Entries looked at in one folder."""

LAST_DATE = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
"""Later ones, which a file may be given, are no dates to every library that a table goes through
(nanoseconds since 1970 in 64 bits end in 2262)."""


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """A file or a folder: `name` can be shown, `path` is relative to the root as a link writes it
    (see path_in_link), `size` in bytes, `modified` in seconds since 1970."""

    name: str
    path: str
    is_folder: bool
    size: int
    modified: float

    @property
    def changed(self) -> datetime | None:
        """When it was written to last; None where that is no likely date."""
        if not 0 <= self.modified < LAST_DATE:
            return None
        return datetime.fromtimestamp(self.modified, UTC)


def path_in_link(path: str) -> str:
    """A path relative to the root as text that a link, a page and a database take.

    It is the path itself where all of it can be shown. Another one, such as one with bytes that are
    no UTF-8, begins with `/` and is written as in a URL: `/odd%FF.pth`.
    """
    return path if printable(path) == path else f"/{quote_from_bytes(os.fsencode(path))}"


def path_of_link(linked: str) -> str:
    """The path that path_in_link wrote."""
    if not linked.startswith("/"):
        return linked
    return os.fsdecode(unquote_to_bytes(linked[1:].encode("utf-8", "surrogatepass")))


def resolve_inside(root: Path, linked: str) -> Path:
    """The real path of something in a root, by its path as a link writes it; links are followed.

    Raises SourceError where it is not there, where a part of its path is hidden, or where it lies
    outside, by `..`, by an absolute path or by a link.
    """
    relative = path_of_link(linked)
    if any(part.startswith(".") for part in relative.split("/")):
        raise _nothing(relative)
    try:
        found = _real(root / relative)
    except (OSError, ValueError) as error:
        raise _nothing(relative) from error
    if not found.is_relative_to(_real(root)):
        raise _nothing(relative)
    return found


def _real(path: Path) -> Path:
    # Path.resolve raises RuntimeError for a link that leads to itself, until Python 3.13.
    return Path(os.path.realpath(path, strict=True))


def _nothing(relative: str) -> SourceError:
    return SourceError(
        f"There is no “{shown(relative)[:200]}” in this server folder.",
        "It may have been moved or removed: choose it again.",
    )


def find_inside(root: Path, linked: str) -> ServedFile | FileSet:
    """What a path in a root stands for: a file, or the files of a folder or of an index.

    Of a set, only files that are listed are taken, or that belong to a checkpoint's others by their
    names, and none that a link outside leads to. Raises SourceError as resolve_inside does, where
    it is nothing that is listed, and where the folder cannot be read or is too large.
    """
    real, real_root = resolve_inside(root, linked), _real(root)
    above, _, name = path_of_link(linked).rpartition("/")
    try:
        mode = real.lstat().st_mode
    except OSError as error:
        raise _nothing(name) from error
    if stat.S_ISDIR(mode):
        return _files_of(real_root, real, MAX_DEPTH)
    if not stat.S_ISREG(mode) or not _is_listed(name):
        raise _nothing(name)
    if indexed_whole(name) is None:
        return ServedFile(real_root, real)
    # An index's own name, and not that of a file elsewhere that it is a link to, names its shards.
    beside = _files_of(real_root, resolve_inside(root, path_in_link(above)), 1)
    return FileSet(shown(name), beside.files, shown(name))


def _files_of(real_root: Path, folder: Path, depth: int) -> FileSet:
    name = shown(folder.name)
    files: dict[str, File] = {}
    for within, is_link in _files_below(real_root, folder, name, depth):
        *folders, last = within.split("/")
        if not _is_part(last) or any(part.startswith(".") for part in folders):
            continue
        path = folder / within
        if is_link:
            try:
                path = _real(path)
            except OSError:
                continue
        if path.is_relative_to(real_root):
            files[shown(within)] = ServedFile(real_root, path)
    return FileSet(name, files)


def _files_below(
    real_root: Path, folder: Path, name: str, depth: int
) -> tuple[tuple[str, bool], ...]:
    try:
        descriptor = open_folder(real_root, folder)
    except OSError as error:
        raise unreadable(name, error) from error
    return files_below(descriptor, name, depth)


def _is_listed(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _is_part(name: str) -> bool:
    return _is_listed(name) or name in PARTS or (name.endswith(DATA) and not name.startswith("."))


def holds_checkpoint(root: Path, linked: str = "") -> bool:
    """Whether a folder is one checkpoint in several files, as far as their names tell.

    Raises SourceError.
    """
    with _opened(root, linked) as (descriptor, _), os.scandir(descriptor) as entries:
        return is_one_checkpoint([entry.name for entry in islice(entries, MAX_ENTRIES)])


def list_folder(root: Path, linked: str = "") -> tuple[FolderEntry, ...]:
    """Folders, then checkpoint files, each by name; hidden ones, links that lead outside, and what
    is neither a folder nor a regular file are left out.

    What cannot be read of one entry concerns that one alone: it is left out. Raises SourceError.
    """
    relative = path_of_link(linked)
    with _opened(root, linked) as (descriptor, folder):
        real_root = _real(root)
        with os.scandir(descriptor) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)[:MAX_ENTRIES]
        found = []
        for entry in listed:
            status = _status(entry, folder, real_root)
            if status is None:
                continue
            path = f"{relative}/{entry.name}" if relative else entry.name
            found.append(
                FolderEntry(
                    shown(entry.name),
                    path_in_link(path),
                    stat.S_ISDIR(status.st_mode),
                    status.st_size,
                    status.st_mtime,
                )
            )
    return tuple(sorted(found, key=lambda entry: (not entry.is_folder, entry.name.lower())))


@contextmanager
def _opened(root: Path, linked: str) -> Iterator[tuple[int, Path]]:
    """A folder in a root, open, and its real path; its trouble, too, is a SourceError."""
    real = resolve_inside(root, linked)
    try:
        descriptor = open_folder(_real(root), real)
        try:
            yield descriptor, real
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(shown(path_of_link(linked) or root.name), error) from error


def _status(entry: os.DirEntry[str], folder: Path, root: Path) -> os.stat_result | None:
    """What is listed of an entry; None where it is left out."""
    if entry.name.startswith("."):
        return None
    try:
        if entry.is_symlink():
            real = _real(folder / entry.name)
            status = real.lstat() if real.is_relative_to(root) else None
        elif entry.is_dir(follow_symlinks=False) or _is_listed(entry.name):
            status = entry.stat(follow_symlinks=False)
        else:
            return None
    except (OSError, ValueError):  # it is gone meanwhile, leads to itself, or may not be looked at
        return None
    if status is None or stat.S_ISDIR(status.st_mode):
        return status
    return status if stat.S_ISREG(status.st_mode) and _is_listed(entry.name) else None
