"""The labelled images of a folder, a zip and a CSV, and what is said where there are none."""

import os
from pathlib import Path
from zipfile import ZipFile

import pytest
from torchvision.datasets import ImageFolder

from core.errors import ImageError, LabelsError, LoupeError, SourceError
from core.evaluate.image_sets import labelled_images
from core.server import sample_images

IMAGES = sample_images()


def planted(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IMAGES[number % len(IMAGES)].read_bytes())
    return folder


def labels(path: Path) -> list[tuple[str, str]]:
    with labelled_images(path) as found:
        return [(each.name, each.label) for each in found.images]


def refusal(path: Path) -> str:
    with pytest.raises(LoupeError) as refused, labelled_images(path):
        pass
    return str(refused.value)


def test_a_folder_has_the_images_and_classes_of_torchvisions_image_folder(tmp_path: Path) -> None:
    planted(tmp_path, "four/a.png", "four/deep/er/b.png", "two words/c.png", "nine/d.png")
    theirs = ImageFolder(str(tmp_path))
    assert labels(tmp_path) == [
        (os.path.relpath(path, tmp_path), theirs.classes[index]) for path, index in theirs.samples
    ]


def test_an_image_beside_the_folders_is_left_out_and_counted(tmp_path: Path) -> None:
    planted(tmp_path, "four/a.png", "b.png")
    with labelled_images(tmp_path) as found:
        assert [each.name for each in found.images] == ["four/a.png"]
        assert found.note == "1 image in no class's folder left out."
    assert "in no folders" in refusal(planted(tmp_path / "flat", "b.png"))


@pytest.mark.parametrize(
    ("members", "classes"),
    [
        (("four/a.png", "nine/b.png"), ["four", "nine"]),
        (("set/val/four/a.png", "set/val/nine/x/b.png"), ["four", "nine"]),
        (("set/four/a.png", "set/four/b.png"), ["four", "four"]),
        (("set/four/a.png", "set/four/x/b.png"), ["four", "four"]),
    ],
)
def test_a_zip_has_its_classes_below_the_folder_that_all_share(
    tmp_path: Path, members: tuple[str, ...], classes: list[str]
) -> None:
    with ZipFile(tmp_path / "set.zip", "w") as packed:
        for member, image in zip(members, IMAGES, strict=False):
            packed.write(image, member)
    assert [label for _, label in labels(tmp_path / "set.zip")] == classes
    with labelled_images(tmp_path / "set.zip") as found:
        assert [each.read() for each in found.images] == [each.read_bytes() for each in IMAGES[:2]]


@pytest.mark.parametrize(
    "text",
    [
        "a/b.png,four\n\nc.png,two words\n",
        "\ufeffpath,label\r\na/b.png,four\r\nc.png,two words\r\n",
        "Label;id;Filename\nfour;1;a/b.png\ntwo words;2;c.png\n",
        "a/b.png\tfour\nc.png\ttwo words\n",
        '"a/b.png","four"\n"c.png","two words"',
    ],
)
def test_a_csv_with_or_without_a_header_names_paths_beside_it(tmp_path: Path, text: str) -> None:
    planted(tmp_path, "a/b.png", "c.png")
    (tmp_path / "set.csv").write_text(text)
    assert labels(tmp_path / "set.csv") == [("a/b.png", "four"), ("c.png", "two words")]
    with labelled_images(tmp_path / "set.csv") as found:
        assert [each.read() for each in found.images] == [each.read_bytes() for each in IMAGES[:2]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rows"),
        ("path,label\n", "has no rows"),
        ("a.png,four\nb.png\n", "Row 2 of set.csv has no path or no label."),
        ("a.png,four\nb.png, \n", "Row 2 of set.csv has no path or no label."),
        ("one,two\na.png,four\n", "begins with one and two, which is neither a header nor"),
        ("a.png," + "x" * 200_000, "field larger than field limit"),
    ],
)
def test_a_csv_without_labels_is_refused_with_a_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "set.csv").write_text(text)
    assert said in refusal(tmp_path / "set.csv")


def test_what_is_no_set_of_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("ä.png,four".encode("latin-1"))
    (tmp_path / "broken.zip").write_bytes(b"PK")
    for path, error, said in (
        (tmp_path / "latin.csv", LabelsError, "is not UTF-8"),
        (tmp_path / "broken.zip", ImageError, "is not a zip"),
        (tmp_path / "gone", SourceError, "does not exist"),
        (IMAGES[0], ImageError, "is no set of labelled images"),
    ):
        with pytest.raises(error, match=said), labelled_images(path):
            pass


def test_a_file_that_is_gone_is_an_error_only_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("gone.png,four\n")
    with labelled_images(tmp_path / "set.csv") as found, pytest.raises(ImageError) as refused:
        found.images[0].read()
    assert "gone.png cannot be read: No such file" in str(refused.value)
