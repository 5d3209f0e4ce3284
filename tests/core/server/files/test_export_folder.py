"""Where repaired files lie until they are fetched."""

import os
import time
from pathlib import Path

import pytest

from core.errors import StoreError
from core.server.files.export_folder import export_name, export_path
from core.server.files.store import EXPORT_KEPT_FOR, EXPORT_SPARED_FOR, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, quota=1 << 20, largest_file=1 << 20)


def exported(store: Store, words: str, nbytes: int, age: float = 0) -> Path:
    path = export_path(store, words, ".pth")
    with store.room_for_export(nbytes):
        path.write_bytes(b"w" * nbytes)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_the_same_export_is_made_once(store: Store):
    assert export_path(store, "a", ".pth") == export_path(store, "a", ".pth")
    assert export_path(store, "a", ".pth") != export_path(store, "b", ".pth")
    assert export_path(store, "a", ".pth") != export_path(store, "a", ".safetensors")


def test_an_export_of_yesterday_is_swept_unless_somebody_asked_for_it_since(store: Store):
    ages = {"old": EXPORT_KEPT_FOR + 60, "asked for": EXPORT_KEPT_FOR + 60, "new": 0.0}
    paths = {words: exported(store, words, 10_000, age) for words, age in ages.items()}
    export_path(store, "asked for", ".pth")
    store.sweep()
    assert [words for words, path in paths.items() if path.exists()] == ["asked for", "new"]
    assert store.used() == 2 * 12_288


def test_exports_count_and_those_that_nobody_fetched_make_room_for_an_upload(store: Store):
    old, new = (exported(store, str(age), 400_000, age) for age in (EXPORT_SPARED_FOR + 60, 0))
    assert store.used() >= 800_000
    store.begin(500_000)
    assert (old.exists(), new.exists()) == (False, True)
    with pytest.raises(StoreError, match="are free"):
        store.begin(300_000)
    with pytest.raises(StoreError, match="are free"), store.room_for_export(300_000):
        pass


def test_a_folder_that_is_gone_is_said(store: Store):
    store.exports.rmdir()
    store.exports.write_bytes(b"in the way")
    with pytest.raises(StoreError, match="folder for exports"):
        export_path(store, "a", ".pth")


@pytest.mark.parametrize(
    ("name", "repaired"),
    [
        ("run3.ckpt", "run3-repaired.pth"),
        ("a.b.safetensors", "a.b-repaired.pth"),
        ("épreuve 日本.pt", "épreuve 日本-repaired.pth"),
        ('a"b\r\nSet-Cookie: x.pt', "a_b_r_nSet-Cookie_ x-repaired.pth"),
        ("half \ud800.pt", "half _ud800-repaired.pth"),
        ("...", "checkpoint-repaired.pth"),
        (f"{'é' * 300}.pt", f"{'é' * 93}-repaired.pth"),
    ],
)
def test_the_download_says_what_it_is_of(name: str, repaired: str):
    assert export_name(name, ".pth") == repaired
