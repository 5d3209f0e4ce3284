"""The images in a zip are read one by one; what is no such zip gets a sentence."""

import struct
import zipfile
from io import BytesIO

import pytest

from core.errors import ImageError
from core.images import ZipImages
from tests.core.images.test_decoding import corner, encoded


def packed(files, **options):
    data = BytesIO()
    with zipfile.ZipFile(data, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


PHOTO = encoded(corner())
FILES = {
    "cats/b.PNG": PHOTO,
    "cats/a.jpg": b"first",
    "notes.txt": b"none",
    ".hidden/c.png": PHOTO,
    "__MACOSX/cats/._b.png": b"none",
    "photo.jpeg": b"last",
}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_images_are_named_by_their_paths_and_read_when_asked_for(tmp_path, compression):
    data = packed(FILES, compression=compression)
    (tmp_path / "pets.zip").write_bytes(data)
    for file in (data, tmp_path / "pets.zip"):
        with ZipImages(file, "pets.zip") as images:
            assert images.names == ("cats/a.jpg", "cats/b.PNG", "photo.jpeg")
            assert images.read("cats/b.PNG", len(PHOTO)) == PHOTO


def test_an_image_that_inflates_beyond_the_limit_is_refused_without_being_read():
    data = packed({"bomb.png": bytes(50_000_000)}, compression=zipfile.ZIP_DEFLATED)
    assert len(data) < 100_000
    with (
        ZipImages(data, "pets.zip") as images,
        pytest.raises(ImageError, match=r"bomb\.png in pets\.zip has more than the 1\.00\s?MB"),
    ):
        images.read("bomb.png", 1_000_000)


def damaged():
    data = bytearray(packed({"a.png": PHOTO}))
    data[40:60] = bytes(20)
    return bytes(data)


def encrypted():
    data = bytearray(packed({"a.png": PHOTO}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize("data", [damaged(), encrypted()])
def test_an_image_that_cannot_be_read_gets_a_sentence(data):
    with ZipImages(data, "pets.zip") as images, pytest.raises(ImageError, match="cannot be read"):
        images.read("a.png", 1_000_000)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is not a zip that can be read"),
        (b"no zip at all", "is not a zip that can be read"),
        (packed(FILES)[:-30], "is not a zip that can be read"),
        (packed({"notes.txt": b"none"}), "has no image"),
    ],
)
def test_what_is_no_zip_of_images_gets_a_sentence(data, sentence):
    with pytest.raises(ImageError, match=sentence) as caught:
        ZipImages(data, "pets.zip")
    assert caught.value.remedy


def test_a_list_of_too_many_bytes_is_refused_before_it_is_read():
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9, 9, 1 << 30, 0, 0)
    with pytest.raises(ImageError, match="more files than Loupe reads from a zip"):
        ZipImages(end, "pets.zip")


def test_the_64_bit_form_is_refused():
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for number in range(65_536):
            archive.writestr(zipfile.ZipInfo(f"{number}.png"), b"")
    with pytest.raises(ImageError, match="more files than Loupe reads from a zip: 65\u202f534"):
        ZipImages(data.getvalue(), "pets.zip")
