"""The parts that image files are made of: PNG's chunks, and the boxes of HEIF and AVIF."""

from __future__ import annotations

from collections.abc import Iterator

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

TEXTS = (b"tEXt", b"zTXt", b"iTXt")
"""PNG's chunks of text, which no pixel depends on. Pillow refuses the image where one is damaged,
or too large."""


def without_texts(data: bytes) -> bytes:
    """A PNG without its texts; what is no PNG, or has none, as it is.

    A chunk is the length of its data, its type, the data and a checksum (PNG 1.2, section 3.2).
    """
    if not data.startswith(PNG_SIGNATURE) or not any(kind in data for kind in TEXTS):
        return data
    kept, at = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] not in TEXTS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def is_cut_short(data: bytes) -> bool:
    """Whether a file of boxes, as HEIF and AVIF are, ends before its last box does.

    A box begins with its size, itself included, and its type (ISO/IEC 14496-12, section 4.2): 1
    means that a size of 64 bits follows the type, 0 that the box ends with the file.
    """
    return data[4:8] == b"ftyp" and any(end > len(data) for end in _box_ends(data))


def _box_ends(data: bytes) -> Iterator[int]:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:
            return
        at += size
        yield at
