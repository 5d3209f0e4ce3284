"""Grey of more than 8 bits keeps its shades, and what white is taken for it is said."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from core.images import decoding
from tests.core.images.test_decoding import decode_image, encoded


@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_a_tiff_whose_header_states_its_largest_value_is_white_there(white):
    made = BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = white
    Image.fromarray(np.array([[0, white]], np.uint16)).save(made, "TIFF", tiffinfo=tags)
    found = decoding.decode_image(made.getvalue(), "scan.tif")
    assert [found.image.getpixel((x, 0))[0] for x in range(2)] == [0, 255]
    assert not found.remark


def test_values_of_32_bits_that_state_no_white_are_scaled_by_the_largest():
    shades = np.array([[0, 1_000_000]], np.int32)
    found = decoding.decode_image(encoded(Image.fromarray(shades), "TIFF"), "scan.tif")
    assert found.image.getpixel((1, 0)) == (255, 255, 255)
    assert found.remark == (
        "The file does not state its white: its largest value, 1\u202f000\u202f000, is taken."
    )


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_shades(format):
    shades = np.array([[0, 257, 32896, 65535]], np.uint16)
    image = decode_image(encoded(Image.fromarray(shades), format), "scan")
    assert [image.getpixel((x, 0))[0] for x in range(4)] == [0, 1, 128, 255]


@pytest.mark.parametrize(("largest", "white"), [(1.0, 255), (255.0, 255)])
def test_a_float_tiff_keeps_its_shades(largest, white):
    shades = np.array([[0.0, largest]], np.float32)
    image = decode_image(encoded(Image.fromarray(shades), "TIFF"), "scan.tif")
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert image.getpixel((1, 0)) == (white,) * 3


def pfm(values):
    """A Portable FloatMap: grey floats of 32 bits, its last row first."""
    height, width = values.shape
    return f"Pf\n{width} {height}\n-1.0\n".encode() + values.astype("<f4")[::-1].tobytes()


def shades(data):
    found = decoding.decode_image(data, "scan")
    return [found.image.getpixel((x, 0))[0] for x in range(found.image.width)], found.remark


TAKEN = "The file does not state its white: {} is taken."
LARGEST = "The file does not state its white: its largest value, {}, is taken."


@pytest.mark.parametrize(
    ("values", "found", "remark"),
    [
        (np.array([[0, 2048, 4095]], np.int32), [0, 128, 255], LARGEST.format("4\u202f095")),
        (np.array([[0, 128, 256]], np.int32), [0, 128, 255], LARGEST.format("256")),
        (np.array([[0, 1, 1]], np.int32), [0, 255, 255], LARGEST.format("1")),
        (np.array([[0, 100, 200]], np.int32), [0, 100, 200], TAKEN.format("255")),
        (np.array([[0, 25700, 51400]], np.int32), [0, 100, 200], TAKEN.format("65\u202f535")),
        (np.array([[0, 1, 2]], np.float32), [0, 128, 255], LARGEST.format("2")),
        (np.array([[0, 0.4, 0.8]], np.float32), [0, 102, 204], TAKEN.format("1")),
        (np.array([[0, 0.005, 0.01]], np.float32), [0, 128, 255], LARGEST.format("0.01")),
        (np.array([[0, 0, 0]], np.float32), [0, 0, 0], ""),
    ],
)
def test_where_the_file_states_no_white_a_usual_or_the_largest_value_is_taken(
    values, found, remark
):
    assert shades(encoded(Image.fromarray(values), "TIFF")) == (found, remark)


def test_a_float_map_has_floats_of_any_size():
    assert shades(pfm(np.array([[0, 0.5, 1]]))) == ([0, 128, 255], TAKEN.format("1"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_where_zero_is_white_the_largest_value_is_black(dtype):
    most = np.iinfo(dtype).max
    image = Image.fromarray(np.array([[0, most // 2, most]], dtype))
    data = written_as_it_is(image, {262: 0})
    assert shades(data) == ([255, 128, 0], "")


def written_as_it_is(image, tags):
    """A TIFF with these tags over Pillow's own, and the pixels as they are."""
    data = bytearray(encoded(image, "TIFF"))
    for tag, value in tags.items():
        at = data.index(tag.to_bytes(2, "little") + (3).to_bytes(2, "little"))
        data[at + 8 : at + 10] = int(value).to_bytes(2, "little")
    return bytes(data)


def test_whole_numbers_of_32_bits_without_a_sign_are_never_below_0():
    values = np.array([[0, 2**31, 2**32 - 1]], np.uint32)
    image = Image.fromarray(values.view(np.int32))
    found, remark = shades(written_as_it_is(image, {339: 1}))
    assert found == [0, 128, 255]
    assert remark == LARGEST.format("4.295e9")


def test_the_transparent_value_of_a_png_of_16_bits_is_white():
    image = Image.fromarray(np.array([[0, 30_000, 65_535]], np.uint16))
    assert shades(encoded(image, transparency=0)) == ([255, 117, 255], "")
