"""Grey values of more than 8 bits, or of floats, as shades of 8 bits; Pillow itself clips them."""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from core.wording import count, small

BITS, PHOTOMETRIC, MAX_SAMPLE, SAMPLE_FORMAT, FLOAT_MAX = 258, 262, 281, 339, 341
"""TIFF 6.0's tags BitsPerSample, PhotometricInterpretation, MaxSampleValue, SampleFormat and
SMaxSampleValue."""

WHITE_IS_ZERO = 0
UNSIGNED = 1
"""Of PhotometricInterpretation and of SampleFormat."""

USUAL_WHITES = (1.0, 255.0, 65_535.0)
"""Of floats that are shares, and of whole numbers of 8 and 16 bits."""


def is_wide_grey(image: Image.Image) -> bool:
    """Whether an image is grey and has more than 8 bits, or floats."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def from_wide_grey(image: Image.Image) -> tuple[Image.Image, str]:
    """Such an image as RGB, scaled so that the file's white is white, with a sentence on what was
    decided where the file does not state that; else the sentence is empty."""
    values = _values(image)
    np.nan_to_num(values, copy=False, posinf=np.inf, neginf=-np.inf)
    finite = np.isfinite(values)
    white, remark = _white(image, float(np.max(values, initial=0, where=finite)))
    values *= np.float32(255 / white)
    if np.min(values, initial=0, where=finite) < 0:
        remark = f"{remark} Values below 0 are shown as black.".lstrip()
    np.clip(values, 0, 255, out=values)
    if _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO:
        np.subtract(255, values, out=values)
    clear = image.info.get("transparency")
    if isinstance(clear, int):  # PNG's tRNS: the one value that is transparent
        values[np.array(image) == clear] = 255
    np.round(values, out=values)
    return Image.fromarray(values.astype(np.uint8)).convert("RGB"), remark


def _values(image: Image.Image) -> np.ndarray:
    if image.mode == "I" and _tag(image, SAMPLE_FORMAT) == UNSIGNED and _tag(image, BITS) == 32:
        return np.array(image).view(np.uint32).astype(np.float32)  # Pillow's "I" has a sign
    return np.array(image, np.float32)


def _white(image: Image.Image, largest: float) -> tuple[float, str]:
    """The value that is white, with a sentence where the file does not state it."""
    stated = _stated_white(image)
    if stated is not None:
        return stated, ""
    for usual in USUAL_WHITES:
        if usual / 2 < largest <= usual and (image.mode == "F" or usual > 1):
            return usual, f"The file does not state its white: {count(int(usual))} is taken."
    if largest <= 0:
        return 1.0, ""
    number = count(int(largest)) if largest.is_integer() and largest < 1e9 else small(largest, 4)
    return largest, f"The file does not state its white: its largest value, {number}, is taken."


def _stated_white(image: Image.Image) -> float | None:
    """The largest value that the file's own format or header allows."""
    if isinstance(image, TiffImageFile):
        for tag in (MAX_SAMPLE, FLOAT_MAX):
            value = _tag(image, tag)
            if value is not None and value > 0:
                return value
        bits = _tag(image, BITS)
        if image.mode != "F" and bits is not None and 8 < bits <= 16:
            return float(2**bits - 1)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return 65_535.0  # Pillow scales other largest values of a PGM to it
    return None


def _tag(image: Image.Image, tag: int) -> float | None:
    """A TIFF's tag that is a finite number; None for other images."""
    value = image.tag_v2.get(tag) if isinstance(image, TiffImageFile) else None
    value = value[0] if isinstance(value, tuple) and value else value
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever the tag holds
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if np.isfinite(number) else None
