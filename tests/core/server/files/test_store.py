"""The store of uploads: by content, within its bounds, nothing half-written."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import pytest

from core.errors import StoreError
from core.server.files.store import (
    MAX_UPLOADS,
    SILENT_AFTER,
    Parts,
    Store,
    StoredFile,
    Upload,
    UploadGone,
)

ROOT = Path(__file__).parents[4]
BLOCK = 4096
"""Bytes of the disk that a small file takes."""


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
    store = Store(tmp_path, quota=1 << 20, largest_file=500)
    assert put(store, b"x" * 100) == put(store, b"x" * 100, step=31)
    assert store.used() == BLOCK
    assert len(everything(tmp_path)) == 1


def test_an_abandoned_upload_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=1000, largest_file=500)
    upload = store.begin(100)
    upload.write(b"half")
    assert (store.used(), store.free()) == (4, 900)
    upload.abandon()
    assert (store.used(), store.free()) == (0, 1000)
    assert everything(tmp_path) == []
    with pytest.raises(UploadGone):
        upload.write(b"more")


DIES = """
import os, signal, sys
from pathlib import Path
from core.writing.whole_files import whole_file
from core.server.files.store import Store

store = Store(Path(sys.argv[1]), quota=1 << 30, largest_file=1 << 30)
parts = store.begin_parts()
part = store.begin(3)
part.write(b"abc")
part.finish(parts)
store.begin(100).write(b"half")
with whole_file(store.exports / "half.pth") as (file, _):
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_written_stays_while_its_server_lives_and_goes_at_once_when_it_is_killed(
    tmp_path: Path,
) -> None:
    """Two servers on one folder, and neither hurts the other."""
    command = [sys.executable, "-c", DIES, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"writing\n"
        ours = Store(tmp_path, quota=1 << 30, largest_file=1 << 30)
        ours.sweep()
        assert len(everything(tmp_path)) == 3
        assert ours.used() == 3 * BLOCK
        other.stdin.close()
        other.wait()
    ours.sweep()
    assert everything(tmp_path) == []
    assert list((tmp_path / "partial").iterdir()) == []
    assert ours.used() == 0


def test_a_new_file_among_the_partial_ones_that_nobody_locked_is_swept(tmp_path: Path) -> None:
    (tmp_path / "partial" / "folder").mkdir(parents=True)
    (tmp_path / "partial" / "folder" / "a").write_bytes(b"left")
    (tmp_path / "partial" / "b").write_bytes(b"left")
    (tmp_path / "partial" / "link").symlink_to(tmp_path / "none")
    Store(tmp_path, quota=1000, largest_file=500)
    assert everything(tmp_path) == []


def in_parts(store: Store, *contents: bytes) -> tuple[Parts, list[StoredFile]]:
    parts = store.begin_parts()
    arrived = []
    for data in contents:
        upload = store.begin(len(data))
        upload.write(data)
        arrived.append(upload.finish(parts))
    return parts, arrived


def test_the_parts_of_a_set_are_files_of_the_store_once_all_are_there(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=1 << 20, largest_file=500)
    put(store, b"first")
    parts, arrived = in_parts(store, b"first", b"second")
    assert [store.find(file.sha256) is None for file in arrived] == [False, True]
    assert store.used() == 3 * BLOCK
    kept = parts.store_set(b"manifest")
    digests = [hashlib.sha256(data).hexdigest() for data in (b"first", b"second", b"manifest")]
    assert set(kept) == set(digests)
    assert {path.name for path in everything(tmp_path)} == set(digests)
    assert store.used() == 3 * BLOCK


def test_a_set_whose_server_died_once_it_was_whole_is_taken_in(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=1 << 20, largest_file=500)
    parts, arrived = in_parts(store, b"first", b"second")
    parts.folder.rename(parts.folder.with_name("left.whole"))
    store.sweep()
    assert store.find(arrived[0].sha256) is None
    parts.release_lock()
    store.sweep()
    assert {path.name for path in everything(tmp_path)} == {file.sha256 for file in arrived}
    assert list((tmp_path / "partial").iterdir()) == []
    assert store.used() == 2 * BLOCK


def test_a_set_given_up_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=1 << 20, largest_file=500)
    parts, _ = in_parts(store, b"first", b"second")
    parts.abandon()
    assert everything(tmp_path) == []
    assert store.used() == 0


def test_what_is_told_as_used_is_what_the_disk_says(tmp_path: Path) -> None:
    def on_the_disk() -> int:
        """Files alone: a folder has a block of its own whether it is full or empty."""
        told = subprocess.run(
            ["du", "--block-size=1", "--all", str(tmp_path)],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        lines = [line.split("\t") for line in told.splitlines()]
        return sum(int(nbytes) for nbytes, path in lines if Path(path).is_file())

    random = Random(0)
    store = Store(tmp_path, quota=1 << 30, largest_file=1 << 30)
    for _ in range(300):
        put(store, random.randbytes(random.randint(1, 200_000)), step=50_000)
    parts, _ = in_parts(store, random.randbytes(70_000), b"small")
    with store.room_for_export(90_000):
        (store.exports / "a.pth").write_bytes(random.randbytes(90_000))
    upload = store.begin(1 << 20)
    upload.write(random.randbytes(1 << 19))
    for counted in (store, Store(tmp_path, quota=1 << 30, largest_file=1 << 30)):
        assert counted.used() == pytest.approx(on_the_disk(), rel=0.01)
    parts.abandon()
    upload.abandon()
    assert store.used() == pytest.approx(on_the_disk(), rel=0.01)
    for path in list((tmp_path / "files").iterdir())[:100]:
        path.unlink()
    store.sweep()
    assert store.used() == pytest.approx(on_the_disk(), rel=0.01)


def test_counting_survives_files_that_vanish_meanwhile(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=1 << 30, largest_file=1 << 30)
    over = threading.Event()

    def come_and_go() -> None:
        number = 0
        while not over.is_set():
            number += 1
            for folder in ("files", "partial", "exports"):
                path = tmp_path / folder / f".{number % 50}"
                path.write_bytes(b"x")
                path.unlink(missing_ok=True)

    others = [threading.Thread(target=come_and_go) for _ in range(2)]
    for other in others:
        other.start()
    try:
        for _ in range(300):
            store.sweep()
            store.refusal(10)
            store.used()
    finally:
        over.set()
        for other in others:
            other.join()


def silent(upload: Upload) -> None:
    upload.last_byte_at -= SILENT_AFTER + 1


def test_a_silent_upload_makes_room_and_an_active_one_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=900, largest_file=500)
    first = store.begin(490)
    first.write(b"a")
    with pytest.raises(StoreError, match="are free"):
        store.begin(450)
    silent(first)
    assert store.free() == 900
    store.begin(450)
    assert first.gone
    with pytest.raises(UploadGone):
        first.write(b"b")


def test_uploads_are_bounded_in_number_and_the_silent_make_place(tmp_path: Path) -> None:
    store = Store(tmp_path, quota=1 << 30, largest_file=500)
    uploads = [store.begin(1) for _ in range(MAX_UPLOADS)]
    with pytest.raises(StoreError, match="at a time"):
        store.begin(1)
    silent(uploads[3])
    store.begin(1)
    assert [upload.gone for upload in uploads].count(True) == 1
    for upload in uploads:
        upload.abandon()


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (501, "up to 500\u202fB"), (450, "are free")],
)
def test_what_does_not_fit_is_refused_before_the_first_byte(
    tmp_path: Path, size: int, words: str
) -> None:
    store = Store(tmp_path, quota=BLOCK + 400, largest_file=500)
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
