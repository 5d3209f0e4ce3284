"""Server folders: browsable inside, closed to the outside."""

import os
from pathlib import Path

import pytest

from core.errors import SourceError
from core.folders import list_folder, resolve_inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "runs" / "one").mkdir(parents=True)
    (root / "runs" / "last.ckpt").write_bytes(b"12345")
    (root / "a.pth").write_bytes(b"1")
    (root / "B.safetensors").write_bytes(b"22")
    (root / "notes.txt").write_text("not listed")
    (root / ".hidden.pth").write_bytes(b"1")
    (tmp_path / "outside.pth").write_bytes(b"secret")
    (root / "link.pth").symlink_to(tmp_path / "outside.pth")
    (root / "up").symlink_to(tmp_path)
    (root / "inner.pth").symlink_to(root / "a.pth")
    (root / "broken.pth").symlink_to(root / "gone")
    return root


def test_folders_come_first_then_checkpoints_with_size_and_date(root: Path) -> None:
    os.utime(root / "a.pth", (1_000_000, 1_000_000))
    entries = list_folder(root)
    assert [entry.name for entry in entries] == ["runs", "a.pth", "B.safetensors", "inner.pth"]
    assert entries[0].is_folder
    assert (entries[1].size, entries[1].modified) == (1, 1_000_000)
    assert [entry.path for entry in list_folder(root, "runs")] == ["runs/one", "runs/last.ckpt"]


@pytest.mark.parametrize(
    "path",
    ["../outside.pth", "link.pth", "up/outside.pth", "up", "runs/../../outside.pth", "gone.pth",
     "broken.pth", "/etc/passwd", "nul\0byte"],
)  # fmt: skip
def test_nothing_outside_can_be_reached(root: Path, path: str) -> None:
    with pytest.raises(SourceError, match="no "):
        resolve_inside(root, path)
    with pytest.raises(SourceError):
        list_folder(root, path)


def test_a_link_within_the_root_is_followed(root: Path) -> None:
    assert resolve_inside(root, "inner.pth") == (root / "a.pth").resolve()


def test_a_root_that_is_itself_a_link_is_served(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert resolve_inside(tmp_path / "alias", "a.pth") == (root / "a.pth").resolve()
    assert list_folder(tmp_path / "alias", "runs")[1].path == "runs/last.ckpt"
