"""Server folders: browsable inside, closed to the outside."""

import os
import socket
import threading
from pathlib import Path

import pytest
import torch
from huggingface_hub import save_torch_state_dict

from core.checkpoint import FileSet, open_checkpoint
from core.checkpoint.containers import LocalFile, ServedFile
from core.errors import CheckpointError, SourceError
from core.server.files.folders import (
    find_inside,
    holds_checkpoint,
    list_folder,
    path_in_link,
    path_of_link,
    resolve_inside,
)


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
        served = find_inside(root, path)
        assert isinstance(served, FileSet)
        assert len(open_checkpoint(served).state_dict()) == 6
    assert find_inside(root, "a.pth") == ServedFile(root.resolve(), (root / "a.pth").resolve())


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
    served = find_inside(root, "model")
    assert isinstance(served, FileSet)
    assert served.files == {}
    (root / "elsewhere").symlink_to(tmp_path / "secret")
    for path in ("elsewhere", "elsewhere/model.safetensors.index.json", "model/config.json"):
        with pytest.raises(SourceError):
            find_inside(root, path)


def test_archives_and_indexes_are_listed(root: Path) -> None:
    names = ["a.pth.tar", "b.pt2", "c.zip", "d.pth.gz", "model.safetensors.index.json"]
    for name in (*names, "config.json"):
        (root / "runs" / "one" / name).touch()
    assert [entry.name for entry in list_folder(root, "runs/one")] == names


ODD = {
    "no UTF-8": b"caf\xe9.pth",
    "a line break": b"two\nlines.pth",
    "a mark that turns the text": "\u202egpj.pth".encode(),
    "a percent sign": b"100%.pth",
    "a percent sign and no UTF-8": b"100%41\xff.pth",
    "Markdown": b"[a](http:b).pth",
}


@pytest.mark.parametrize("kind", ODD)
def test_a_file_with_an_odd_name_is_listed_and_opens_by_the_text_of_its_path(
    root: Path, kind: str
) -> None:
    (root / "sub").mkdir()
    torch.save({"w": torch.ones(3)}, root / "saved")
    renamed = os.path.join(os.fsencode(root), b"sub", ODD[kind])
    os.rename(root / "saved", renamed)
    (entry,) = list_folder(root, "sub")
    for text in (entry.name, entry.path):
        assert text.encode().decode() == text
        assert text.isprintable()
    served = find_inside(root, entry.path)
    checkpoint = open_checkpoint(served)
    assert checkpoint.name == entry.name
    assert len(checkpoint.state_dict()) == 1


def test_a_folder_with_an_odd_name_is_gone_into_and_opens_as_one_checkpoint(root: Path) -> None:
    shards(root / "plain")
    (root / "plain" / "notes.txt").touch()
    os.rename(root / "plain", os.path.join(os.fsencode(root), b"mod\xe8le\n1"))
    entry = next(entry for entry in list_folder(root) if entry.name.startswith("mod"))
    assert (entry.name, entry.path) == ("mod\\xe8le\\n1", "/mod%E8le%0A1")
    inside = list_folder(root, entry.path)
    assert holds_checkpoint(root, entry.path)
    assert {one.path.rpartition("/")[0] for one in inside} == {entry.path}
    assert len(open_checkpoint(find_inside(root, entry.path)).state_dict()) == 6
    index = next(one for one in inside if one.name.endswith(".json"))
    assert len(open_checkpoint(find_inside(root, index.path)).state_dict()) == 6


@pytest.mark.parametrize(
    "name", ["a.pth", "100%.pth", "caf\udce9.pth", "a\nb", "d/\udcff/e", "\x85"]
)
def test_the_text_of_a_path_leads_back_to_it(name: str) -> None:
    assert path_of_link(path_in_link(name)) == name


def test_one_entry_s_trouble_is_that_entry_s(root: Path) -> None:
    """Pipes, sockets, devices, links that lead to themselves: none breaks the list."""
    folder = root / "odd"
    folder.mkdir()
    (folder / "sound.pth").write_bytes(b"1")
    (folder / "loop.pth").symlink_to("loop.pth")
    (folder / "one.pth").symlink_to("other.pth")
    (folder / "other.pth").symlink_to("one.pth")
    (folder / "deep").symlink_to("deep/deep")
    (folder / "device.pth").symlink_to("/dev/zero")
    (folder / "long.pth").symlink_to("x" * 4_000)
    os.mkfifo(folder / "pipe.pth")
    os.mkfifo(folder / "model-00001-of-00002.safetensors")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(folder, os.O_RDONLY)  # a socket's path may be no longer than 108 bytes
        listening.bind(f"/proc/self/fd/{here}/socket.pth")
        os.close(here)
    (folder / "closed").mkdir(mode=0)
    (folder / "late.pth").write_bytes(b"1")
    os.utime(folder / "late.pth", (2**33, 2**33))
    assert [entry.name for entry in list_folder(root, "odd")] == ["closed", "late.pth", "sound.pth"]
    late = list_folder(root, "odd")[1]
    assert late.changed is None
    for name in ("loop.pth", "one.pth", "deep", "device.pth", "pipe.pth", "socket.pth", "long.pth"):
        with pytest.raises(SourceError):
            find_inside(root, f"odd/{name}")
    served = find_inside(root, "odd")
    assert isinstance(served, FileSet)
    assert set(served.files) == {"late.pth", "sound.pth"}
    assert holds_checkpoint(root, "odd")  # by its names


def test_a_pipe_that_takes_a_file_s_place_is_refused_and_not_waited_for(root: Path) -> None:
    served = find_inside(root, "a.pth")
    (root / "a.pth").unlink()
    os.mkfifo(root / "a.pth")
    with pytest.raises(SourceError, match="not a regular file"):
        open_checkpoint(served)


def test_entries_that_vanish_while_they_are_listed_break_nothing(root: Path) -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for number in range(40):
                (root / "runs" / f"{number}.pth").write_bytes(b"1")
            for number in range(40):
                (root / "runs" / f"{number}.pth").unlink()

    writer = threading.Thread(target=come_and_go)
    writer.start()
    try:
        for _ in range(100):
            assert "runs/last.ckpt" in [entry.path for entry in list_folder(root, "runs")]
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize(
    "path", [".env", ".hidden.pth", ".ssh/id.pth", "runs/../a.pth", "./a.pth", "notes.txt", "/.env",
             "/%2Eenv", "/runs/%2E%2E/a.pth", "/..%2Foutside.pth"]
)  # fmt: skip
def test_what_is_not_listed_does_not_open_by_a_link(root: Path, path: str) -> None:
    (root / ".env").write_text("PASSWORD=hunter2")
    (root / ".ssh").mkdir()
    (root / ".ssh" / "id.pth").write_text("secret")
    with pytest.raises(SourceError, match="There is no"):
        find_inside(root, path)


@pytest.mark.parametrize("shard", [".env", "../outside.pth", "notes.txt", "../.env", "link.pth"])
def test_an_index_names_only_files_that_are_listed(root: Path, shard: str) -> None:
    (root / ".env").write_text("PASSWORD=hunter2")
    (root / "m.safetensors.index.json").write_text(f'{{"weight_map": {{"w": "{shard}"}}}}')
    served = find_inside(root, "m.safetensors.index.json")
    with pytest.raises(CheckpointError, match="The one shard is missing"):
        open_checkpoint(served)


def test_a_file_that_a_link_outside_takes_the_place_of_is_never_read(
    root: Path, tmp_path: Path
) -> None:
    """A thread swaps a file, and the folder above another, for links while both are opened."""
    (tmp_path / "elsewhere").mkdir()
    for folder, content in ((root / "runs", b"inside"), (tmp_path / "elsewhere", b"secret")):
        (folder / "m.pth").write_bytes(content)
    (root / "m.pth").write_bytes(b"inside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (root / "new").symlink_to(tmp_path / "elsewhere" / "m.pth")
            (root / "new").replace(root / "m.pth")
            (root / "runs").rename(root / "aside")
            (root / "runs").symlink_to(tmp_path / "elsewhere")
            (root / "new").write_bytes(b"inside")
            (root / "new").replace(root / "m.pth")
            (root / "runs").unlink()
            (root / "aside").rename(root / "runs")

    checked = [find_inside(root, path) for path in ("m.pth", "runs/m.pth")]
    swapper = threading.Thread(target=swap)
    swapper.start()
    read, refused = [], 0
    names: set[str] = set()
    opened_files: list[LocalFile] = []
    try:
        while len(read) < 300 or refused < 300:
            for path, served in zip(("m.pth", "runs/m.pth"), checked, strict=True):
                for find in (
                    lambda served=served: served,
                    lambda path=path: find_inside(root, path),
                ):
                    try:
                        file = LocalFile(find())
                        read.append(file.read(0, 6))
                        opened_files.append(file)
                    except SourceError:
                        refused += 1
            try:
                names |= {entry.name for entry in list_folder(root, "runs")}
            except SourceError:
                refused += 1
            for file in opened_files[-3:]:  # and so is one that is opened again
                file.let_go()
                try:
                    read.append(file.read(0, 6))
                except SourceError:
                    refused += 1
    finally:
        stop.set()
        swapper.join()
    assert set(read) == {b"inside"}
    assert names <= {"m.pth", "last.ckpt", "one"}


def test_a_link_that_takes_a_file_s_place_after_the_check_opens_nothing(
    root: Path, tmp_path: Path
) -> None:
    (root / "runs" / "m.pth").write_bytes(b"inside")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "m.pth").write_bytes(b"secret")
    file, below = find_inside(root, "a.pth"), find_inside(root, "runs/m.pth")
    assert isinstance(file, ServedFile)
    assert isinstance(below, ServedFile)
    opened = LocalFile(below)
    assert opened.let_go()
    (root / "a.pth").unlink()
    (root / "a.pth").symlink_to(tmp_path / "outside.pth")
    (root / "runs").rename(root / "aside")
    (root / "runs").symlink_to(tmp_path / "elsewhere")
    for served in (file, below):
        with pytest.raises(SourceError):
            LocalFile(served)
    with pytest.raises(SourceError, match="changed"):
        opened.read(0, 6)
