"""Lists and opens the server folders that people may browse, and nothing outside them.

A link opens only what is listed: a folder, or a regular file with the ending of a checkpoint, no
part of whose path is hidden and whose real path is inside the root. This is checked on the opened
file itself, so that it cannot be exchanged after the check (see
core/checkpoint/containers/served_file.py).
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

from core.checkpoint import CONFIGURATIONS, Surroundings
from core.checkpoint.containers import (
    INDEX,
    MAX_DEPTH,
    File,
    FileSet,
    ServedFile,
    files_below,
    open_folder,
    unreadable,
    unsharded_name,
)
from core.checkpoint.sets import COMPONENTS, DATA, LATEST, METADATA, is_one_checkpoint
from core.errors import SourceError, printable, shown

SUFFIXES = (
    *(".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pt2", ".pkl", INDEX),
    *(".tar", ".zip", ".gz", ".tgz", ".bz2", ".xz"),
)
"""The endings of checkpoint files, and of archives that may contain one; others are not listed."""

PARTS = (METADATA, COMPONENTS, LATEST, *CONFIGURATIONS)
"""Files that are read only together with others of the same checkpoint."""

MAX_ENTRIES = 5_000
"""The most entries that are read of one folder."""

LAST_DATE = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
"""A file may be given any date, but later ones overflow in libraries that a table goes through:
nanoseconds since 1970 in 64 bits end in 2262."""


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """A file or a folder in a list.

    `name` is printable, `path` relative to the root in the form of links (see path_in_link), `size`
    in bytes and `modified` in seconds since 1970.
    """

    name: str
    path: str
    is_folder: bool
    size: int
    modified: float

    @property
    def changed(self) -> datetime | None:
        """The date of the last change; None where it is before 1970 or after LAST_DATE."""
        if not 0 <= self.modified < LAST_DATE:
            return None
        return datetime.fromtimestamp(self.modified, UTC)


def path_in_link(path: str) -> str:
    """A path relative to the root, as text that is safe in links, pages and databases.

    A printable path is returned as it is. Any other, such as one with bytes that are not UTF-8, is
    percent-encoded and begins with `/`: `/odd%FF.pth`.
    """
    return path if printable(path) == path else f"/{quote_from_bytes(os.fsencode(path))}"


def path_of_link(linked: str) -> str:
    """The path from the text that path_in_link returned."""
    if not linked.startswith("/"):
        return linked
    return os.fsdecode(unquote_to_bytes(linked[1:].encode("utf-8", "surrogatepass")))


def resolve_inside(root: Path, linked: str) -> Path:
    """The real path of a file or folder in a root; symlinks are followed.

    `linked` is its path as path_in_link returned it. Raises SourceError where it does not exist,
    where a part of its path is hidden, and where it is outside the root because of `..`, an
    absolute path or a symlink.
    """
    relative = path_of_link(linked)
    if any(part.startswith(".") for part in relative.split("/")):
        raise _not_found(relative)
    try:
        real = _real(root / relative)
    except (OSError, ValueError) as error:
        raise _not_found(relative) from error
    if not real.is_relative_to(_real(root)):
        raise _not_found(relative)
    return real


def _real(path: Path) -> Path:
    # Before Python 3.13, Path.resolve raises RuntimeError for a symlink to itself.
    return Path(os.path.realpath(path, strict=True))


def _not_found(relative: str) -> SourceError:
    return SourceError(
        f"There is no “{shown(relative)[:200]}” in this server folder.",
        "It may have been moved or removed: choose it again.",
    )


def find_inside(root: Path, linked: str) -> ServedFile | FileSet:
    """The file that a path in a root stands for, or the files of a folder or an index.

    A set contains only files that are listed, or whose names belong to a checkpoint in several
    files, and none that a symlink leads to outside the root. Raises SourceError as resolve_inside
    does, where the path is not listed, and where the folder cannot be read or is too large.
    """
    real, real_root = resolve_inside(root, linked), _real(root)
    above, _, name = path_of_link(linked).rpartition("/")
    try:
        mode = real.lstat().st_mode
    except OSError as error:
        raise _not_found(name) from error
    if stat.S_ISDIR(mode):
        return _files_of(real_root, real, MAX_DEPTH)
    if not stat.S_ISREG(mode) or not _is_listed(name):
        raise _not_found(name)
    if unsharded_name(name) is None:
        return ServedFile(real_root, real)
    # Where the index is a symlink, its shards are next to the link, not next to its target.
    folder = _files_of(real_root, resolve_inside(root, path_in_link(above)), 1)
    return FileSet(shown(name), folder.files, shown(name))


def surroundings_inside(root: Path, linked: str) -> Surroundings:
    """What lies around a file or folder of a root: the names of the folders below the root, and
    the configurations in its own that `find_inside` would find. Raises SourceError."""
    real_root, relative = _real(root), path_of_link(linked)
    is_folder = resolve_inside(root, linked).is_dir()
    folder = relative if is_folder else relative.rpartition("/")[0]
    files: dict[str, File] = {}
    for name in CONFIGURATIONS:
        try:
            real = resolve_inside(root, path_in_link(f"{folder}/{name}" if folder else name))
            if stat.S_ISREG(real.lstat().st_mode):
                files[name] = ServedFile(real_root, real)
        except (OSError, SourceError):
            continue
    return Surroundings(shown(f"{root.name}/{folder}" if folder else root.name), files)


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


def _is_listed(name: str, endings: tuple[str, ...] = SUFFIXES) -> bool:
    return not name.startswith(".") and name.lower().endswith(endings)


def _is_part(name: str) -> bool:
    return _is_listed(name) or name in PARTS or (name.endswith(DATA) and not name.startswith("."))


def holds_checkpoint(root: Path, linked: str = "") -> bool:
    """Whether a folder is one checkpoint in several files, judged by their names.

    Raises SourceError.
    """
    with _opened(root, linked) as (descriptor, _), os.scandir(descriptor) as entries:
        return is_one_checkpoint([entry.name for entry in islice(entries, MAX_ENTRIES)])


def list_folder(
    root: Path, linked: str = "", endings: tuple[str, ...] = SUFFIXES
) -> tuple[FolderEntry, ...]:
    """The entries of a folder: folders first, then the files with one of the endings, each by name.

    Hidden entries, symlinks that lead outside the root, entries that are neither folders nor
    regular files, and those that cannot be read are left out. Raises SourceError where the folder
    itself cannot be read.
    """
    relative = path_of_link(linked)
    with _opened(root, linked) as (descriptor, folder):
        real_root = _real(root)
        with os.scandir(descriptor) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)[:MAX_ENTRIES]
        listing = []
        for entry in listed:
            status = _status(entry, folder, real_root, endings)
            if status is None:
                continue
            path = f"{relative}/{entry.name}" if relative else entry.name
            listing.append(
                FolderEntry(
                    shown(entry.name),
                    path_in_link(path),
                    stat.S_ISDIR(status.st_mode),
                    status.st_size,
                    status.st_mtime,
                )
            )
    return tuple(sorted(listing, key=lambda entry: (not entry.is_folder, entry.name.lower())))


@contextmanager
def _opened(root: Path, linked: str) -> Iterator[tuple[int, Path]]:
    """A folder in a root as an open descriptor and its real path.

    An OSError inside the context becomes a SourceError.
    """
    real = resolve_inside(root, linked)
    try:
        descriptor = open_folder(_real(root), real)
        try:
            yield descriptor, real
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(shown(path_of_link(linked) or root.name), error) from error


def _status(
    entry: os.DirEntry[str], folder: Path, root: Path, endings: tuple[str, ...]
) -> os.stat_result | None:
    """The status of an entry that is listed; None where it is left out."""
    if entry.name.startswith("."):
        return None
    try:
        if entry.is_symlink():
            real = _real(folder / entry.name)
            status = real.lstat() if real.is_relative_to(root) else None
        elif entry.is_dir(follow_symlinks=False) or _is_listed(entry.name, endings):
            status = entry.stat(follow_symlinks=False)
        else:
            return None
    except (OSError, ValueError):  # it was removed, is a symlink to itself, or is forbidden
        return None
    if status is None or stat.S_ISDIR(status.st_mode):
        return status
    return status if stat.S_ISREG(status.st_mode) and _is_listed(entry.name, endings) else None
