"""Where the index of the installed libraries is, and how it comes there."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

from core.errors import IndexFileError
from core.fit.index.index import Index
from core.fit.index.index_file import index_versions, load_index

SHIPPED = Path(__file__).with_name("index.npz")
"""The index that comes with Loupe, of the versions in requirements.lock."""


def find_index(folder: Path) -> Index | None:
    """The index of the installed versions: Loupe's own, or else the one in `folder`; never builds.

    A damaged file counts as none.
    """
    versions = installed_versions()
    for path in (SHIPPED, index_path(folder, versions)):
        try:
            if index_versions(path) == versions:
                return load_index(path)
        except IndexFileError:
            continue
    return None


MAY_DIE = 8
"""Models of an index that is kept may have taken their processes down: so many may do that by
themselves, while more are a trouble of the machine."""


def index_path(folder: Path, versions: Mapping[str, str]) -> Path:
    """The file in `folder` for an index of these versions."""
    words = "-".join(f"{library}-{version}" for library, version in sorted(versions.items()))
    return folder / f"index-{words}.npz"


def installed_versions() -> Mapping[str, str]:
    """The versions of torchvision and timm, without what says how they were compiled (`+cu130`)."""
    return {
        library: importlib.metadata.version(library).partition("+")[0]
        for library in ("torchvision", "timm")
    }
