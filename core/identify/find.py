"""Where the index of the installed libraries is, and how it comes there."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping
from pathlib import Path

from core.errors import IndexFileError
from core.identify.build import DIED, Progress, build_index
from core.identify.index import Index
from core.identify.index_file import index_versions, load_index, save_index

__all__ = ["SHIPPED", "find_index", "index_path", "installed_versions", "make_index_in"]

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


def make_index_in(folder: Path, workers: int = 2, progress: Progress | None = None) -> Index:
    """Build the index of the installed versions and keep it in `folder`, for find_index.

    Takes minutes; what `progress` raises ends it. One that cannot be written, or that lacks models
    only because processes died, serves this server and is built again by the next. Raises
    IndexFileError where hardly a process lived.
    """
    versions = installed_versions()
    index = build_index(versions, workers, progress)
    died = sum(why == DIED for _, why in index.failures)
    if died > len(index):
        raise IndexFileError(
            f"The index of architectures could not be built: the processes that build it ended "
            f"before they were done, {died:,} times.",
            "Loupe tries again in a few minutes; the server may have too little memory.",
        )
    log = logging.getLogger("loupe")
    if died > MAY_DIE:
        log.warning("The index lacks %d models whose processes ended: it is not kept", died)
        return index
    try:
        save_index(index, index_path(folder, versions))
    except IndexFileError as error:
        log.warning("%s The next server builds it again.", error)
    return index


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
