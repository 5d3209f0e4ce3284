"""The server folders that people may browse, and nothing beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import SourceError

SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
"""How checkpoint files end; others are not listed."""

MAX_ENTRIES = 5_000
"""Entries listed of one folder."""


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
        raise SourceError(
            f"The folder {relative or root.name!r} cannot be read: {error.strerror}.",
            "Check its permissions.",
        ) from error
    return tuple(sorted(found, key=lambda entry: (not entry.is_folder, entry.name.lower())))


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
