"""Reads the image files in a zip, each only when it is asked for."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self
from zipfile import BadZipFile, LargeZipFile, ZipFile

from core.errors import ImageError
from core.images.image_files import IMAGE_ENDINGS, too_large
from core.wording import count

MOST_FILES, MOST_DIRECTORY = 65_534, 32 << 20
"""The most files of a zip, and the most bytes of its list of them, which is read as a whole. More
need the format's 64-bit form, which Loupe does not read."""

_END = struct.Struct("<4s4H2IH")
_END_SIGN, _END_64_SIGN = b"PK\x05\x06", b"PK\x06\x07"
_MAX_COMMENT = 65_535
"""The record at the end (APPNOTE.TXT 6.3.10, section 4.3.16), and the sign before it in the 64-bit
form (section 4.3.15)."""

_BROKEN = (BadZipFile, LargeZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)
"""What zipfile raises on damaged and encrypted files, and on compression that it lacks."""


class ZipImages:
    """The image files in a zip: `names` are their paths in it, in order.

    Hidden files and what macOS adds are left out. Raises ImageError if it is no zip, is too large,
    or has no image.
    """

    def __init__(self, file: bytes | Path, name: str) -> None:
        self._name = name
        stream = io.BytesIO(file) if isinstance(file, bytes) else file.open("rb")
        try:
            _check_size(stream, name)
            self._zip = ZipFile(stream)
        except _BROKEN as error:
            stream.close()
            raise ImageError(
                f"{name} is not a zip that can be read.",
                "Pack the images again, or add them alone.",
            ) from error
        except ImageError:
            stream.close()
            raise
        self._stream = stream
        self.names = tuple(sorted(filter(_is_image, self._zip.namelist())))
        if not self.names:
            self.close()
            raise ImageError(
                f"{name} has no image.", f"Names of images end in {', '.join(IMAGE_ENDINGS)}."
            )

    def read(self, member: str, most: int) -> bytes:
        """The bytes of an image, at most so many. Raises ImageError."""
        try:
            with self._zip.open(member) as file:
                data = file.read(most + 1)
        except _BROKEN as error:
            raise ImageError(
                f"{member} in {self._name} cannot be read: it is damaged or encrypted.",
                "Pack the images again without a password.",
            ) from error
        if len(data) > most:
            raise too_large(f"{member} in {self._name}", most)
        return data

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _is_image(member: str) -> bool:
    path = PurePosixPath(member)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and path.suffix[1:].lower() in IMAGE_ENDINGS


def _check_size(stream: io.BufferedIOBase, name: str) -> None:
    """Raise ImageError if the zip's own record says that its list of files is too long to read."""
    length = stream.seek(0, os.SEEK_END)
    before = max(0, length - _END.size - _MAX_COMMENT - 20)
    stream.seek(before)
    tail = stream.read()
    at = tail.rfind(_END_SIGN)
    if at < 0 or len(tail) - at < _END.size:
        return  # zipfile says that this is no zip
    _, _, _, _, files, directory, _, _ = _END.unpack_from(tail, at)
    is_64 = at >= 20 and tail[at - 20 : at - 16] == _END_64_SIGN
    if is_64 or files > MOST_FILES or directory > MOST_DIRECTORY:
        raise ImageError(
            f"{name} has more files than Loupe reads from a zip: {count(MOST_FILES)}.",
            "Pack fewer images into each zip.",
        )
