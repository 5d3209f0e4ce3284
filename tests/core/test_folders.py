"""Server folders: browsable inside, closed to the outside."""

import os
from pathlib import Path

import pytest
import torch
from huggingface_hub import save_torch_state_dict

from core.checkpoint import FileSet, open_checkpoint
from core.errors import SourceError
from core.folders import find_inside, holds_checkpoint, list_folder, resolve_inside


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


LAYOUTS = {
    "index": ["config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"],
    "index alone": ["pytorch_model.bin.index.json"],
    "numbered shards": ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
    "torch.distributed.checkpoint": [".metadata", "__0_0.distcp"],
    "accelerate": ["model.safetensors", "optimizer.bin", "scheduler.bin"],
    "Trainer": ["model.safetensors", "optimizer.pt", "trainer_state.json"],
    "diffusers": ["model_index.json"],
    "DeepSpeed": ["mp_rank_00_model_states.pt"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_that_is_one_checkpoint_is_known_by_its_names(root: Path, layout: str) -> None:
    for name in LAYOUTS[layout]:
        (root / "runs" / "one" / name).touch()
    assert holds_checkpoint(root, "runs/one")


def test_a_folder_of_separate_files_is_no_checkpoint(root: Path) -> None:
    for name in ("epoch1.pth", "epoch2.pth", "model.safetensors", "config.json"):
        (root / "runs" / "one" / name).touch()
    assert not holds_checkpoint(root, "runs/one")
    assert not holds_checkpoint(root)


def test_a_folder_outside_is_asked_for_nothing(root: Path) -> None:
    for path in ("..", "up", "a.pth"):
        with pytest.raises(SourceError):
            holds_checkpoint(root, path)


def shards(folder: Path) -> None:
    tensors = {f"layer{index}.weight": torch.randn(64, 8) for index in range(6)}
    folder.mkdir(exist_ok=True)
    save_torch_state_dict(tensors, folder, max_shard_size=5_000)


def test_a_folder_of_shards_and_its_index_stand_for_all_files(root: Path) -> None:
    shards(root / "model")
    for path in ("model", "model/model.safetensors.index.json"):
        found = find_inside(root, path)
        assert isinstance(found, FileSet)
        assert len(open_checkpoint(found).state_dict()) == 6
    assert find_inside(root, "a.pth") == (root / "a.pth").resolve()


def test_a_folder_of_links_as_the_hub_keeps_it_opens(root: Path) -> None:
    """huggingface_hub keeps files under their digests, and snapshots of links to them."""
    shards(root / "plain")
    (root / "blobs").mkdir()
    (root / "snapshot").mkdir()
    for number, path in enumerate(sorted((root / "plain").iterdir())):
        path.rename(root / "blobs" / f"{number:064x}")
        (root / "snapshot" / path.name).symlink_to(f"../blobs/{number:064x}")
    for path in ("snapshot", "snapshot/model.safetensors.index.json"):
        assert len(open_checkpoint(find_inside(root, path)).state_dict()) == 6


def test_links_that_lead_outside_are_no_part_of_a_folder(root: Path, tmp_path: Path) -> None:
    shards(tmp_path / "secret")
    (root / "model").mkdir()
    for path in (tmp_path / "secret").iterdir():
        (root / "model" / path.name).symlink_to(path)
    found = find_inside(root, "model")
    assert isinstance(found, FileSet)
    assert found.files == {}
    (root / "elsewhere").symlink_to(tmp_path / "secret")
    for path in ("elsewhere", "elsewhere/model.safetensors.index.json", "model/config.json"):
        with pytest.raises(SourceError):
            find_inside(root, path)


def test_archives_and_indexes_are_listed(root: Path) -> None:
    names = ["a.pth.tar", "b.pt2", "c.zip", "d.pth.gz", "model.safetensors.index.json"]
    for name in (*names, "config.json"):
        (root / "runs" / "one" / name).touch()
    assert [entry.name for entry in list_folder(root, "runs/one")] == names
