"""The store of uploads: by content, within its bounds, nothing half-written."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from core.errors import StoreError
from core.store import ABANDONED_AFTER, Store


def put(store: Store, data: bytes, step: int = 7) -> Path:
    upload = store.begin(len(data))
    for at in range(0, len(data), step):
        upload.write(data[at : at + step])
    return upload.finish().path


def everything(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_file_is_kept_under_the_sha256_of_its_content(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=1000, largest_file=500)
    path = put(store, b"weights" * 10)
    assert path.name == hashlib.sha256(b"weights" * 10).hexdigest()
    assert path.read_bytes() == b"weights" * 10
    assert store.find(path.name) == path


def test_the_same_content_is_stored_once(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=1000, largest_file=500)
    assert put(store, b"x" * 100) == put(store, b"x" * 100, step=31)
    assert store.used() == 100
    assert len(everything(tmp_path)) == 1


def test_an_abandoned_upload_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=1000, largest_file=500)
    upload = store.begin(100)
    upload.write(b"half")
    assert store.used() == 100
    upload.abandon()
    assert store.used() == 0
    assert everything(tmp_path) == []


def test_an_upload_that_a_former_server_left_is_swept(tmp_path: Path) -> None:
    Store(tmp_path, quota=1000, largest_file=500).begin(100).write(b"half")
    [left] = everything(tmp_path)
    old = time.time() - ABANDONED_AFTER - 1
    os.utime(left, (old, old))
    Store(tmp_path, quota=1000, largest_file=500)
    assert everything(tmp_path) == []


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (501, "up to 500 bytes"), (450, "are free")],
)
def test_what_does_not_fit_is_refused_before_the_first_byte(
    tmp_path: Path, size: int, words: str
) -> None:
    store = Store(tmp_path, quota=900, largest_file=500)
    put(store, b"a" * 490)
    with pytest.raises(StoreError, match=words):
        store.begin(size)


def test_uploads_under_way_count_at_their_full_size(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=900, largest_file=500)
    store.begin(490)
    with pytest.raises(StoreError, match="are free"):
        store.begin(450)


def test_more_bytes_than_announced_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=900, largest_file=500)
    upload = store.begin(5)
    with pytest.raises(StoreError, match="more bytes"):
        upload.write(b"sixsix")
    assert everything(tmp_path) == []


def test_an_incomplete_upload_cannot_be_finished(tmp_path: Path) -> None:
    upload = Store(tmp_path, quota=900, largest_file=500).begin(5)
    upload.write(b"four")
    with pytest.raises(StoreError, match="not complete"):
        upload.finish()


@pytest.mark.parametrize("name", ["../secret", "a" * 63, "A" * 64, "g" * 64, ""])
def test_only_a_digest_finds_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("no")
    assert Store(tmp_path, quota=900, largest_file=500).find(name) is None


def test_a_data_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="LOUPE_DATA"):
        Store(tmp_path / "file" / "data", quota=1, largest_file=1)
