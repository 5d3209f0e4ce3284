"""The image files that paths name: files, and folders of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.errors import ImageError, SourceError
from core.wording import size

IMAGE_ENDINGS = (
    *("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "jp2", "avif", "heic", "heif"),
)
"""How the names of the images end that are taken from a folder, and that a page offers to open."""


def too_large(name: str, most: int) -> ImageError:
    """The error for an image of more than `most` bytes."""
    return ImageError(
        f"{name} has more than the {size(most)} that an image may have.",
        "Make the image smaller, and add it again.",
    )


def image_files(paths: Sequence[Path]) -> tuple[tuple[str, Path], ...]:
    """(name, path) of each image file, in the order of `paths`.

    A file has its own name. A folder stands for the files in it, at any depth, whose names end as
    an image's does, in the order of their paths below it, which are their names; hidden ones and
    links to folders are left out. Raises SourceError if a path does not exist, ImageError if a
    folder has no image.
    """
    found: list[tuple[str, Path]] = []
    for path in paths:
        if path.is_dir():
            below = sorted(_below(path))
            if not below:
                raise ImageError(
                    f"{path} has no image.", f"Names of images end in {', '.join(IMAGE_ENDINGS)}."
                )
            found += [(name, path / name) for name in below]
        elif path.exists():
            found.append((path.name, path))
        else:
            raise SourceError(f"{path} does not exist.", "Check the path.")
    return tuple(found)


def _below(folder: Path) -> Iterator[str]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix[1:].lower() in IMAGE_ENDINGS:
                yield str((Path(where) / name).relative_to(folder))
