"""What the disk or the network spoilt is found by the checksums, and named."""

import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from core.checkpoint import Checkpoint, open_checkpoint
from core.errors import SourceError
from core.inspect.record_checks import CHUNK
from core.inspect.verification import verify
from core.progress import Cancelled, Progress


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shared = torch.randn(300)
    return {"conv": torch.randn(3, 5), "a": shared, "b": shared[:10], "last": torch.randn(4000)}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "m.pth"
    torch.save({"epoch": 1, "state_dict": tensors()}, path)
    return path


def member(path: Path, ending: str) -> tuple[int, int]:
    """Where a member's bytes begin in a zip, and how many there are."""
    with zipfile.ZipFile(path) as archive:
        info = next(one for one in archive.infolist() if one.filename.endswith(ending))
        with archive.open(info) as opened:
            opened.read(0)
            return opened._orig_compress_start, info.compress_size  # type: ignore[attr-defined]


def flip(path: Path, at: int) -> None:
    """Change one bit, and leave the file's time as it was, as a failing disk does."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_sound_file_is_read_to_its_last_record(saved: Path) -> None:
    found = verify(open_checkpoint(saved))
    with zipfile.ZipFile(saved) as archive:
        members = archive.infolist()
    assert found.sound
    assert (found.records, found.checked) == (len(members), len(members))
    assert found.nbytes == sum(one.file_size for one in members)


def test_a_changed_bit_in_a_tensor_names_all_keys_that_share_it(saved: Path) -> None:
    start, nbytes = member(saved, "data/1")
    flip(saved, start + nbytes - 1)
    (damage,) = verify(open_checkpoint(saved)).damaged
    assert damage.record == "m/data/1"
    assert damage.keys == ("state_dict.a", "state_dict.b")
    assert "CRC-32" in damage.problem


def test_a_changed_bit_in_the_pickle_is_found_though_it_opens(saved: Path) -> None:
    start, nbytes = member(saved, "data.pkl")
    flip(saved, start + saved.read_bytes()[start : start + nbytes].index(b"conv"))
    checkpoint = open_checkpoint(saved)
    assert "bonv" in checkpoint.state_dict()
    (damage,) = verify(checkpoint).damaged
    assert (damage.record, damage.keys) == ("m/data.pkl", ())


def test_a_copy_that_left_zeros_is_found(saved: Path) -> None:
    """A broken copy of the right size: the blocks that never came read as zeros."""
    start, nbytes = member(saved, "data/2")
    content = bytearray(saved.read_bytes())
    content[start + 4096 : start + nbytes] = bytes(nbytes - 4096)
    saved.write_bytes(content)
    (damage,) = verify(open_checkpoint(saved)).damaged
    assert damage.keys == ("state_dict.last",)


def test_a_file_saved_without_checksums_is_read_and_said_to_have_none(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(tensors(), path)
    finally:
        torch.serialization.set_crc32_options(before)
    start, _ = member(path, "data/0")
    flip(path, start)
    found = verify(open_checkpoint(path))
    assert found.sound
    assert found.checked < found.records


@pytest.mark.parametrize("kind", ["legacy", "safetensors"])
def test_formats_without_checksums_are_read_whole(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m"
    kept = {key: tensor.clone() for key, tensor in tensors().items()}
    if kind == "legacy":
        torch.save(kept, path, _use_new_zipfile_serialization=False)
    else:
        safetensors.torch.save_file(kept, path)
    found = verify(open_checkpoint(path))
    assert found.nbytes == sum(tensor.nbytes for tensor in kept.values())
    assert (found.records, found.checked, found.sound) == (4, 0, True)


def test_what_a_scripted_model_compresses_is_checked_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.jit.script(torch.nn.Linear(3, 2)).save(path)
    assert verify(open_checkpoint(path)).sound
    start, nbytes = member(path, ".py")
    flip(path, start + nbytes // 2)
    (damage,) = verify(open_checkpoint(path)).damaged
    assert "torch/nn/modules/linear" in damage.record


def test_in_a_folder_of_shards_the_file_is_named(tmp_path: Path) -> None:
    for number in (1, 2):
        name = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({f"w{number}": torch.randn(50)}, tmp_path / name)
    start, _ = member(tmp_path / "pytorch_model-00002-of-00002.bin", "data/0")
    flip(tmp_path / "pytorch_model-00002-of-00002.bin", start)
    checkpoint = open_checkpoint(tmp_path)
    found = verify(checkpoint)
    assert [damage.keys for damage in found.damaged] == [("w2",)]
    assert found.damaged[0].record.startswith("pytorch_model-00002-of-00002.bin: ")
    assert found.checked == found.records > 2


def test_progress_counts_bytes_up_to_all(saved: Path) -> None:
    told: list[tuple[int, int]] = []
    found = verify(open_checkpoint(saved), lambda done, total, _: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (found.nbytes, found.nbytes)


def test_it_stops_when_it_is_told_to(saved: Path) -> None:
    progress = Progress()
    progress.cancel()
    with pytest.raises(Cancelled):
        verify(open_checkpoint(saved), progress)


def test_a_file_that_is_written_to_meanwhile_is_trouble(saved: Path) -> None:
    def spoil(checkpoint: Checkpoint, change: Callable[[], object]) -> None:
        change()
        with pytest.raises(SourceError, match="changed while it was open"):
            verify(checkpoint)

    spoil(open_checkpoint(saved), lambda: os.utime(saved, (1, 1)))
    spoil(open_checkpoint(saved), lambda: os.truncate(saved, 3000))


def test_a_large_record_passes_through_a_small_buffer(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({"w": torch.zeros(10 * CHUNK // 4 + 1)}, path)
    checkpoint = open_checkpoint(path)
    tracemalloc.start()
    try:
        found = verify(checkpoint)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.sound
    assert peak < 1.2 * CHUNK
