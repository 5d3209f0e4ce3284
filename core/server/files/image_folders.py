"""Lists and reads the images in the server folders that people may browse."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from core.checkpoint.containers import ServedFile, unreadable
from core.errors import SourceError, shown
from core.images import IMAGE_ENDINGS, too_large
from core.server.files.folders import FolderEntry, list_folder, path_of_link, resolve_inside

_SUFFIXES = tuple(f".{ending}" for ending in IMAGE_ENDINGS)


def list_images(root: Path, linked: str = "") -> tuple[FolderEntry, ...]:
    """The folders and the image files of a folder in a root, as `list_folder` lists checkpoints.

    Raises SourceError.
    """
    return list_folder(root, linked, _SUFFIXES)


def read_image(root: Path, linked: str, most: int) -> bytes:
    """The bytes of an image file that `list_images` lists. Raises SourceError if it is not there,
    ImageError if it has more than `most` bytes."""
    name = shown(path_of_link(linked).rpartition("/")[2])
    real = resolve_inside(root, linked)
    if name.startswith(".") or not name.lower().endswith(_SUFFIXES):
        raise SourceError(f"{name} is no image by its name.", "Choose another file.")
    file = ServedFile(Path(os.path.realpath(root)), real)
    try:
        with os.fdopen(file.open(), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise SourceError(f"{name} is no file.", "Choose another one.")
            data = opened.read(most + 1)
    except OSError as error:
        raise unreadable(name, error) from error
    if len(data) > most:
        raise too_large(name, most)
    return data
