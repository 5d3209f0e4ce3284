"""Decodes the bytes of an image file as RGB, or raises an ImageError that says why not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import ImageError
from core.images.file_parts import is_cut_short, without_texts
from core.images.wide_grey import from_wide_grey, is_wide_grey

MAX_PIXELS = 64_000_000
"""The largest image by default: 8,000 × 8,000 pixels, 192 MB as RGB."""

PILLOWS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
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
    try:
        return _decoded(data, name, max_pixels)
    except ImageError:
        bare = without_texts(data)
        if bare == data:
            raise
        return _decoded(bare, name, max_pixels)


def _decoded(data: bytes, name: str, max_pixels: int) -> Decoded:
    image = _open(data, name, max_pixels)
    try:
        image.load()
        rgb, remark = _to_rgb(image)
        return Decoded(_upright(rgb, image), remark)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen types on damaged data
        raise _undecoded(data, name, error) from error


@cache
def _formats() -> list[str]:
    """Those of PILLOWS that this installation has; AVIF and HEIF are optional."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        pass
    else:
        register_heif_opener()
    Image.init()
    return [known for known in PILLOWS if known in Image.OPEN]


def _open(data: bytes, name: str, max_pixels: int) -> Image.Image:
    if not data:
        raise ImageError(f"{name} is empty.", "Choose the file again: the upload may have failed.")
    try:
        image = Image.open(BytesIO(data), formats=_formats())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, "more pixels than Pillow allows", max_pixels) from error
    except UnidentifiedImageError as error:
        if is_cut_short(data):
            raise _cut_short(name) from error
        raise ImageError(
            f"{name} is not an image that Loupe can read.",
            "Save it as JPEG, PNG, WebP, TIFF, BMP or GIF.",
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged header raises as many types as damaged pixels do
        raise _undecoded(data, name, error) from error
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


def _undecoded(data: bytes, name: str, error: Exception) -> ImageError:
    text = str(error)
    if "truncated" in text or is_cut_short(data):
        return _cut_short(name)
    if isinstance(error, NotImplementedError | KeyError) or UNREAD_KIND.search(text):
        return ImageError(
            f"{name} is of a kind that Pillow does not read.", "Save it again as PNG or JPEG."
        )
    return ImageError(
        f"{name} is damaged: it cannot be decoded.", "Save it again, or choose another image."
    )


def _cut_short(name: str) -> ImageError:
    return ImageError(f"{name} is cut short.", "Download or copy the whole file again.")


def _to_rgb(image: Image.Image) -> tuple[Image.Image, str]:
    if is_wide_grey(image):
        return from_wide_grey(image)
    if image.has_transparency_data:
        solid = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(solid, image.convert("RGBA")).convert("RGB"), ""
    return image.convert("RGB"), ""


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
