"""Finds the index of the installed versions of torchvision and timm."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

from core.errors import IndexFileError
from core.fit.index.index import Index
from core.fit.index.index_file import index_versions, load_index

SHIPPED = Path(__file__).with_name("index.npz")
"""The index that comes with Loupe, of the versions in requirements.lock."""


def find_index(folder: Path | None = None) -> Index | None:
    """The index of the installed versions: Loupe's own, else one in `folder` if given, else None.

    It never builds an index; a damaged file is ignored.
    """
    versions = installed_versions()
    for path in (SHIPPED, *([index_path(folder, versions)] if folder else [])):
        try:
            if index_versions(path) == versions:
                return load_index(path)
        except IndexFileError:
            continue
    return None


MAY_DIE = 8
"""An index is kept if the processes of at most so many models died: a few models crash by
themselves; more deaths mean that the machine is in trouble, such as short of memory."""


def index_path(folder: Path, versions: Mapping[str, str]) -> Path:
    """The file in `folder` for an index of these versions."""
    words = "-".join(f"{library}-{version}" for library, version in sorted(versions.items()))
    return folder / f"index-{words}.npz"


def installed_versions() -> Mapping[str, str]:
    """The versions of torchvision and timm, without their local part (`+cu130`)."""
    return {
        library: importlib.metadata.version(library).partition("+")[0]
        for library in ("torchvision", "timm")
    }
