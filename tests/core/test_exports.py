"""Where repaired files lie until they are fetched."""

import os
import time
from pathlib import Path

import pytest

from core.errors import StoreError
from core.exports import KEPT_FOR, export_name, export_path


def test_the_same_export_is_made_once(tmp_path: Path):
    assert export_path(tmp_path, "a", ".pth") == export_path(tmp_path, "a", ".pth")
    assert export_path(tmp_path, "a", ".pth") != export_path(tmp_path, "b", ".pth")
    assert export_path(tmp_path, "a", ".pth") != export_path(tmp_path, "a", ".safetensors")


def test_an_export_of_yesterday_makes_room(tmp_path: Path):
    old, new = export_path(tmp_path, "old", ".pth"), export_path(tmp_path, "new", ".pth")
    for path in (old, new):
        path.write_bytes(b"weights")
    os.utime(old, (0, time.time() - KEPT_FOR - 60))
    export_path(tmp_path, "another", ".pth")
    assert (old.exists(), new.exists()) == (False, True)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="folder for exports"):
        export_path(tmp_path / "file" / "exports", "a", ".pth")


@pytest.mark.parametrize(
    ("name", "repaired"),
    [("run3.ckpt", "run3-repaired.pth"), ("a.b.safetensors", "a.b-repaired.pth")],
)
def test_the_download_says_what_it_is_of(name: str, repaired: str):
    assert export_name(name, ".pth") == repaired
