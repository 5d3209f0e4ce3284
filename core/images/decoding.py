"""Decodes the bytes of an image file as RGB, or raises an ImageError that says why not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from core.errors import ImageError
from core.wording import count, small

MAX_PIXELS = 64_000_000
"""The largest image by default: 8,000 × 8,000 pixels, 192 MB as RGB."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""Pillow's formats that are tried. Others run programs (EPS runs Ghostscript), or are not for
photographs."""

WHITE = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image as RGB, 8 bits for each channel, rotated as its EXIF orientation says.

    `remark` is a sentence on what was decided about its values; empty if nothing was.
    """

    image: Image.Image
    remark: str = ""


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Decoded:
    """The image in `data`.

    Transparent parts become white, grey values of more than 8 bits are scaled by what the file
    states, else by the largest of them, and of an animation the first frame is taken. The header's
    size is checked before a pixel is decoded. `name` is for error messages. Raises ImageError.
    """
    image = _open(data, name, max_pixels)
    try:
        image.load()
        rgb, remark = _to_rgb(image)
        return Decoded(_upright(rgb, image), remark)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen types on damaged data
        raise _undecoded(name, error) from error


@cache
def _formats() -> list[str]:
    """Those of FORMATS that this installation has; AVIF and HEIF are optional."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        pass
    else:
        register_heif_opener()
    Image.init()
    return [known for known in FORMATS if known in Image.OPEN]


def _open(data: bytes, name: str, max_pixels: int) -> Image.Image:
    if not data:
        raise ImageError(f"{name} is empty.", "Choose the file again: the upload may have failed.")
    try:
        image = Image.open(BytesIO(data), formats=_formats())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, "more pixels than Pillow allows", max_pixels) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not an image that Loupe can read.",
            "Save it as JPEG, PNG, WebP, TIFF, BMP or GIF.",
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged header raises as many types as damaged pixels do
        raise _undecoded(name, error) from error
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width} × {height} pixels", max_pixels)
    return image


def _too_large(name: str, size: str, max_pixels: int) -> ImageError:
    return ImageError(
        f"{name} has {size}; the limit is {max_pixels / 1e6:g} million pixels.",
        "Make the image smaller and choose it again.",
    )


UNREAD_KIND = re.compile(
    r"unsupported|not supported|unknown|unrecognized|not implemented|not available|cannot handle"
    r"|cannot decode|conversion|illegal image mode",
    re.IGNORECASE,
)
"""What Pillow's errors say of a kind of image that it has no decoder for."""


def _undecoded(name: str, error: Exception) -> ImageError:
    text = str(error)
    if "truncated" in text:
        return ImageError(f"{name} is cut short.", "Download or copy the whole file again.")
    if isinstance(error, NotImplementedError | KeyError) or UNREAD_KIND.search(text):
        return ImageError(
            f"{name} is of a kind that Pillow does not read.", "Save it again as PNG or JPEG."
        )
    return ImageError(
        f"{name} is damaged: it cannot be decoded.", "Save it again, or choose another image."
    )


def _to_rgb(image: Image.Image) -> tuple[Image.Image, str]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_wide_grey(image)
    if image.has_transparency_data:
        solid = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(solid, image.convert("RGBA")).convert("RGB"), ""
    return image.convert("RGB"), ""


def _from_wide_grey(image: Image.Image) -> tuple[Image.Image, str]:
    """Grey of more than 8 bits or of floats as RGB; Pillow itself would clip it to white."""
    values = np.array(image, np.float32)
    np.nan_to_num(values, copy=False, posinf=np.inf, neginf=-np.inf)
    finite = np.isfinite(values)
    largest = float(np.max(values, initial=0, where=finite))
    white, remark = _white(image, largest)
    values *= np.float32(255 / white)
    if np.min(values, initial=0, where=finite) < 0:
        remark = f"{remark} Values below 0 are shown as black.".lstrip()
    np.clip(values, 0, 255, out=values)
    np.round(values, out=values)
    return Image.fromarray(values.astype(np.uint8)).convert("RGB"), remark


MAX_SAMPLE, BITS, FLOAT_MAX = 281, 258, 341
"""TIFF 6.0's tags MaxSampleValue, BitsPerSample and SMaxSampleValue."""


def _white(image: Image.Image, largest: float) -> tuple[float, str]:
    """The value that is white, with a sentence where the file does not state it."""
    stated = _stated_white(image)
    if stated is not None:
        return stated, ""
    for usual in (1.0,) if image.mode == "F" else ():
        if largest <= usual:
            return usual, ""
    if largest <= 255:
        return 255.0, ""
    if image.mode != "F" and largest <= 65_535:
        return 65_535.0, ""
    number = count(round(largest)) if largest < 1e9 else small(largest, 4)
    return largest, f"The file does not state its white: its largest value, {number}, is taken."


def _stated_white(image: Image.Image) -> float | None:
    """The largest value that the file's own format or header allows."""
    if isinstance(image, TiffImageFile):
        for tag in (MAX_SAMPLE, FLOAT_MAX):
            value = _number(image.tag_v2.get(tag))
            if value is not None and value > 0:
                return value
        bits = _number(image.tag_v2.get(BITS))
        if image.mode != "F" and bits is not None and 8 < bits <= 16:
            return float(2**bits - 1)
    return 65_535.0 if image.mode.startswith("I;16") or image.format == "PPM" else None


def _number(value: object) -> float | None:
    value = value[0] if isinstance(value, tuple) and value else value
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever the tag holds
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if np.isfinite(number) else None


def _upright(rgb: Image.Image, original: Image.Image) -> Image.Image:
    """Rotate or mirror `rgb` by the original's EXIF orientation, if it has a readable one."""
    try:
        exif = original.getexif()
    except Exception:  # Damaged EXIF data raises many types, and the image itself is fine.
        return rgb
    rgb.info.clear()
    rgb.getexif().clear()
    if exif.get(ORIENTATION) in range(2, 9):
        rgb.getexif()[ORIENTATION] = exif[ORIENTATION]
        return ImageOps.exif_transpose(rgb)
    return rgb


ORIENTATION = 0x0112
"""EXIF 2.3, section 4.6.4: the tag that says which side of the image is up."""
