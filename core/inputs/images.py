"""Decodes the bytes of an image file as RGB, or raises an ImageError that says why not."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import ImageError

MAX_PIXELS = 64_000_000
"""The largest image by default: 8,000 × 8,000 pixels, 192 MB as RGB."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Pillow's formats that are tried. Others run programs (EPS runs Ghostscript), or are not for
photographs."""

WHITE = (255, 255, 255)


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image in `data` as RGB, 8 bits for each channel, rotated as its EXIF orientation says.

    Transparent parts become white, 16-bit grey values are divided by 257, and of an animation the
    first frame is taken. The header's size is checked before a pixel is decoded. `name` is for
    error messages. Raises ImageError.
    """
    image = _open(data, name, max_pixels)
    try:
        image.load()
        return _upright(_to_rgb(image), image)
    except Exception as error:  # Pillow's decoders raise a dozen types on damaged data
        raise _damaged(name, error) from error


def _open(data: bytes, name: str, max_pixels: int) -> Image.Image:
    if not data:
        raise ImageError(f"{name} is empty.", "Choose the file again: the upload may have failed.")
    Image.init()
    formats = [known for known in FORMATS if known in Image.OPEN]  # AVIF is optional in Pillow
    try:
        image = Image.open(BytesIO(data), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, "more pixels than Pillow allows", max_pixels) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not an image that Loupe can read.",
            "Save it as JPEG, PNG, WebP, TIFF, BMP or GIF.",
        ) from error
    except Exception as error:  # a damaged header raises as many types as damaged pixels do
        raise _damaged(name, error) from error
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width} × {height} pixels", max_pixels)
    return image


def _too_large(name: str, size: str, max_pixels: int) -> ImageError:
    return ImageError(
        f"{name} has {size}; the limit is {max_pixels / 1e6:g} million pixels.",
        "Make the image smaller and choose it again.",
    )


def _damaged(name: str, error: Exception) -> ImageError:
    if "truncated" in str(error):
        return ImageError(f"{name} is cut short.", "Download or copy the whole file again.")
    return ImageError(
        f"{name} is damaged: it cannot be decoded.", "Save it again, or choose another image."
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_wide_grey(image).convert("RGB")
    if image.has_transparency_data:
        solid = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(solid, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _from_wide_grey(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or of floats as 8 bits; Pillow itself would clip it to white.

    White is 65,535 if integers are over 255, 1 if floats are at most 1, else 255.
    """
    values = np.asarray(image).astype(np.float32)
    largest = float(np.nanmax(values, initial=0))
    if image.mode == "F":
        scale = 255.0 if largest <= 1 else 1.0
    else:
        scale = 1 / 257 if largest > 255 or image.mode.startswith("I;16") else 1.0
    scaled = np.nan_to_num(values * np.float32(scale)).round().clip(0, 255)
    return Image.fromarray(scaled.astype(np.uint8))


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
