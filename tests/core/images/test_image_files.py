"""Which image files a command's paths name."""

from pathlib import Path

import pytest

from core.errors import ImageError, SourceError
from core.images import image_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "sub/c.heic", ".hidden.png", ".cache/d.png", "notes.txt", "jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_stands_for_its_images_in_the_order_of_their_paths(folder):
    assert [name for name, _ in image_files([folder])] == ["a.png", "b.JPG", "sub/c.heic"]
    assert all(path.is_file() for _, path in image_files([folder]))


def test_files_keep_the_order_in_which_they_are_named_whatever_they_are_called(folder):
    named = image_files([folder / "notes.txt", folder / "sub", folder / "a.png"])
    assert [name for name, _ in named] == ["notes.txt", "c.heic", "a.png"]


def test_a_link_to_a_folder_around_it_does_not_end_in_a_circle(folder):
    (folder / "sub" / "round").symlink_to(folder)
    assert len(image_files([folder])) == 3


def test_what_is_not_there_is_told(folder, tmp_path):
    with pytest.raises(SourceError, match="gone does not exist"):
        image_files([folder / "a.png", folder / "gone"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="empty has no image"):
        image_files([tmp_path / "empty"])
