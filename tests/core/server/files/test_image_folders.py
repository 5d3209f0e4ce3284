"""The images of server folders: listed and read inside, closed to the outside."""

import os
from pathlib import Path

import pytest

from core.errors import ImageError, LoupeError, SourceError
from core.server import photographs
from core.server.files import list_images, read_image

PHOTO = photographs()[0].read_bytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "cats").mkdir(parents=True)
    (root / "cats" / "a.JPG").write_bytes(PHOTO)
    (root / "b.png").write_bytes(b"12345")
    (root / "model.pth").write_bytes(b"1")
    (root / ".hidden.png").write_bytes(b"1")
    (tmp_path / "outside.png").write_bytes(b"secret")
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "inner.png").symlink_to(root / "b.png")
    os.mkfifo(root / "pipe.png")
    return root


def test_folders_come_first_then_images(root: Path) -> None:
    assert [entry.name for entry in list_images(root)] == ["cats", "b.png", "inner.png"]
    assert [entry.path for entry in list_images(root, "cats")] == ["cats/a.JPG"]


def test_an_image_is_read(root: Path) -> None:
    assert read_image(root, "cats/a.JPG", len(PHOTO)) == PHOTO
    assert read_image(root, "inner.png", 5) == b"12345"


def test_an_image_that_is_too_large_is_refused(root: Path) -> None:
    with pytest.raises(ImageError, match=r"b\.png has more than the 4\s?B"):
        read_image(root, "b.png", 4)


@pytest.mark.parametrize(
    "path",
    ["../outside.png", "link.png", ".hidden.png", "model.pth", "cats", "gone.png", "pipe.png"],
)
def test_nothing_else_is_read(root: Path, path: str) -> None:
    with pytest.raises(LoupeError) as caught:
        read_image(root, path, 1_000)
    assert isinstance(caught.value, SourceError)
