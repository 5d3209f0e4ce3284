"""Every kind of picture that people have becomes RGB; what is none gets a sentence."""

import struct
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from pillow_heif import register_heif_opener

from core.errors import ImageError
from core.images import MAX_PIXELS, decoding


def decode_image(data, name, **limits):
    """The image alone."""
    return decoding.decode_image(data, name, **limits).image


def encoded(image, format="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def corner(size=(40, 24)):
    """A white picture whose upper left corner is black."""
    pixels = np.full((size[1], size[0], 3), 255, np.uint8)
    pixels[:8, :8] = 0
    return Image.fromarray(pixels)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB"])
def test_any_mode_becomes_rgb(mode):
    source = (
        corner().quantize(8) if mode == "P" else corner().convert(mode if mode != "LAB" else "L")
    )
    image = decode_image(encoded(source, "TIFF"), "picture.tif")
    assert image.mode == "RGB"
    assert image.size == (40, 24)
    assert image.getpixel((2, 2))[0] < 40
    assert image.getpixel((30, 20))[0] > 215


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_laid_over_white(mode):
    source = corner().convert(mode)
    source.putalpha(Image.new("L", source.size, 0))
    assert decode_image(encoded(source), "clear.png").getpixel((2, 2)) == (255, 255, 255)


def test_what_phones_write_is_read():
    register_heif_opener()
    image = decode_image(encoded(corner(), "HEIF"), "photo.heic")
    assert image.size == (40, 24)
    assert image.getpixel((2, 2))[0] < 40
    assert image.getpixel((30, 20))[0] > 215


def test_what_pillow_has_no_decoder_for_is_not_called_damaged():
    """A BMP that holds a JPEG (compression 4) is whole, and Pillow does not read it."""
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 24, 4, 10, 0, 0, 0, 0)
    data = b"BM" + struct.pack("<IHHI", 64, 0, 0, 54) + header + bytes(10)
    with pytest.raises(ImageError, match="of a kind that Pillow does not read"):
        decode_image(data, "photo.bmp")


def test_a_half_transparent_black_is_grey():
    image = decode_image(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128))), "half.png")
    assert image.getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_png_with_one_transparent_colour_is_laid_over_white(mode):
    source = Image.new(mode, (4, 4), 0)
    data = encoded(source, transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert decode_image(data, "clear.png").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_exif_says(orientation):
    upright = corner()
    undo = {
        1: (),
        2: (Image.Transpose.FLIP_LEFT_RIGHT,),
        3: (Image.Transpose.ROTATE_180,),
        4: (Image.Transpose.FLIP_TOP_BOTTOM,),
        5: (Image.Transpose.TRANSPOSE,),
        6: (Image.Transpose.ROTATE_90,),
        7: (Image.Transpose.TRANSVERSE,),
        8: (Image.Transpose.ROTATE_270,),
    }
    stored = upright
    for step in undo[orientation]:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(stored, "PNG", exif=exif), "photo.png")
    assert np.array_equal(np.asarray(image), np.asarray(upright))


def test_damaged_exif_does_not_cost_the_picture():
    data = encoded(corner(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage")
    assert decode_image(data, "photo.jpg").size == (40, 24)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(format):
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("black", "white")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert decode_image(data, "moving").getpixel((3, 3)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "photo.png is empty."),
        (b"hello, this is text", "photo.png is not an image"),
        (b"<!DOCTYPE html><html></html>", "photo.png is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "photo.png is not an image"),
        (encoded(corner())[:60], "photo.png is"),
        (b"\x89PNG\r\n\x1a\n", "photo.png is"),
    ],
)
def test_what_is_no_picture_gets_a_sentence(data, sentence):
    with pytest.raises(ImageError, match=sentence) as caught:
        decode_image(data, "photo.png")
    assert caught.value.remedy


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_picture_is_refused_with_a_sentence(format, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), format)
    with pytest.raises(ImageError, match=r"cut short|damaged|not a picture"):
        decode_image(data[: int(len(data) * share)], "photo")


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_truncated_file_of_boxes_is_cut_short(format, share):
    """Pillow does not know such a file for an image of its format at all."""
    register_heif_opener()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), format)
    with pytest.raises(ImageError, match="photo is cut short"):
        decode_image(data[: int(len(data) * share)], "photo")


def test_texts_that_pillow_refuses_do_not_cost_the_picture():
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "A white picture")
    texts.add_text("Long", "a" * 80_000_000, zip=True)
    data = encoded(corner(), pnginfo=texts)
    for damaged in (data, data.replace(b"A white picture", b"A black picture")):
        with pytest.raises((ValueError, SyntaxError, UnidentifiedImageError)):
            Image.open(BytesIO(damaged)).load()
        assert np.array_equal(np.asarray(decode_image(damaged, "a.png")), np.asarray(corner()))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_random_damage_gives_a_picture_or_a_sentence_and_nothing_else(format):
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
    for number in range(60):
        broken = bytearray(encoded(noise, format))
        for position in rng.integers(0, len(broken), 6):
            broken[position] = rng.integers(0, 256)
        with suppress(ImageError):
            assert decode_image(bytes(broken), f"{number}.png").mode == "RGB"


def bomb(width, height):
    """A PNG whose header promises far more than its few bytes hold."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 4096)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [9_000, 20_000, 200_000])
def test_a_decompression_bomb_is_refused_from_its_header(side):
    with pytest.raises(ImageError, match="the limit is 64 million pixels"):
        decode_image(bomb(side, side), "bomb.png")
    assert side * side > MAX_PIXELS


def test_the_limit_on_pixels_can_be_chosen():
    with pytest.raises(ImageError, match="40 × 24 pixels"):
        decode_image(encoded(corner()), "photo.png", max_pixels=900)
