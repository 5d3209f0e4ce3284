"""The server folders that people may browse, and nothing beside them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from core.checkpoint.assembled import is_one_checkpoint
from core.checkpoint.entries import Source
from core.checkpoint.file_set import INDEX, FileSet, file_or_set, indexed_whole
from core.errors import SourceError

SUFFIXES = (
    *(".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".pt2", ".pkl", INDEX),
    *(".tar", ".zip", ".gz", ".tgz", ".bz2", ".xz"),
)
"""How checkpoint files end, and archives that one may lie in; others are not listed."""

MAX_ENTRIES = 5_000
"""Entries looked at in one folder."""


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """A file or a folder: `path` is relative to the root, `size` in bytes, `modified` in seconds
    since 1970."""

    name: str
    path: str
    is_folder: bool
    size: int
    modified: float


def resolve_inside(root: Path, relative: str) -> Path:
    """The real path of something in a root, links followed.

    Raises SourceError where it is not there, or lies outside, by `..`, by an absolute path or by
    a link.
    """
    try:
        found = (root / relative).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise _nothing(relative) from error
    if not found.is_relative_to(root.resolve()):
        raise _nothing(relative)
    return found


def _nothing(relative: str) -> SourceError:
    return SourceError(
        f"There is no {relative[:200]!r} in this server folder.",
        "It may have been moved or removed: choose it again.",
    )


def find_inside(root: Path, relative: str) -> Path | FileSet:
    """What a path in a root stands for: a file, or the files of a folder or of an index.

    Every file of a set is the real one, and what a link outside leads to is left out. Raises
    SourceError as resolve_inside does, and where the folder cannot be read or is too large.
    """
    real = resolve_inside(root, relative)
    # An index's own name, and not that of a file elsewhere that it is a link to, names its shards.
    above, _, name = relative.rpartition("/")
    indexed = indexed_whole(name) is not None and real.is_file()
    found = file_or_set(resolve_inside(root, above) / name if indexed else real)
    if isinstance(found, Path):
        return found
    files: dict[str, Path | Source] = {}
    for within, path in found.files.items():
        linked = _real_inside(root.resolve(), path) if isinstance(path, Path) else None
        if linked is not None:
            files[within] = linked
    return replace(found, files=files)


def _real_inside(real_root: Path, path: Path) -> Path | None:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return real if real.is_relative_to(real_root) else None


def holds_checkpoint(root: Path, relative: str = "") -> bool:
    """Whether a folder is one checkpoint in several files, as far as their names tell.

    Raises SourceError.
    """
    folder = resolve_inside(root, relative)
    try:
        with os.scandir(folder) as entries:
            return is_one_checkpoint(
                [entry.name for entry, _ in zip(entries, range(MAX_ENTRIES), strict=False)]
            )
    except OSError as error:
        raise _unreadable(root, relative, error) from error


def list_folder(root: Path, relative: str = "") -> tuple[FolderEntry, ...]:
    """Folders, then checkpoint files, each by name; hidden ones and links that lead outside are
    left out. Raises SourceError."""
    folder = resolve_inside(root, relative)
    real_root = root.resolve()
    found = []
    try:
        for path in sorted(folder.iterdir())[:MAX_ENTRIES]:
            entry = _entry(real_root, folder, path)
            if entry is not None:
                found.append(entry)
    except OSError as error:
        raise _unreadable(root, relative, error) from error
    return tuple(sorted(found, key=lambda entry: (not entry.is_folder, entry.name.lower())))


def _unreadable(root: Path, relative: str, error: OSError) -> SourceError:
    return SourceError(
        f"The folder {relative or root.name!r} cannot be read: {error.strerror}.",
        "Check its permissions.",
    )


def _entry(root: Path, folder: Path, path: Path) -> FolderEntry | None:
    if path.name.startswith("."):
        return None
    try:
        real = path.resolve(strict=True)
        status = real.stat()
    except OSError:
        return None
    if not real.is_relative_to(root):
        return None
    is_folder = real.is_dir()
    if not is_folder and not path.name.lower().endswith(SUFFIXES):
        return None
    relative = str((folder / path.name).relative_to(root))
    return FolderEntry(path.name, relative, is_folder, status.st_size, status.st_mtime)
