"""What is no checkpoint, or a broken one, is named in a sentence that says what to do."""

import io
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError, LoupeError, SourceError
from core.tensors import read_tensor
from core.wording import count


def refusal(path: Path) -> LoupeError:
    with pytest.raises((CheckpointError, SourceError)) as caught:
        open_checkpoint(path)
    error = caught.value
    assert error.problem.endswith(".")
    assert error.remedy.endswith((".", ")."))
    # Failure mode 37: torch's own advice would run the file's code.
    assert "weights_only" not in str(error)
    return error


def refused(tmp_path: Path, content: bytes, name: str = "m.pth") -> LoupeError:
    (tmp_path / name).write_bytes(content)
    return refusal(tmp_path / name)


def zip_bytes(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {f"layer{i}.weight": torch.randn(50, i + 1) for i in range(8)}


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    error = refused(tmp_path, b"")
    assert "empty" in error.problem
    assert "get it again" in error.remedy


def test_text_renamed_to_pth_shows_its_first_line(tmp_path: Path) -> None:
    error = refused(tmp_path, b"learning rate: 0.1\nepochs: 90\n")
    assert "plain text" in error.problem
    assert "learning rate: 0.1" in error.problem


def test_a_web_page_shows_its_title(tmp_path: Path) -> None:
    """Failure mode 14."""
    page = b"<!DOCTYPE html>\n<html><head><title>Sign in &amp;\n continue</title></head></html>"
    error = refused(tmp_path, page)
    assert "web page titled “Sign in & continue”" in error.problem
    assert "download the file itself" in error.remedy


def test_a_servers_json_error_shows_its_message(tmp_path: Path) -> None:
    error = refused(tmp_path, b'{"error": "Repository not found"}')
    assert "JSON" in error.problem
    assert "Repository not found" in error.problem


def test_a_git_lfs_pointer_shows_size_and_id_and_the_command(tmp_path: Path) -> None:
    """Failure mode 13."""
    oid = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 46830571\n"
    error = refused(tmp_path, pointer.encode())
    assert "Git LFS pointer" in error.problem
    assert "46\u202f830\u202f571 bytes" in error.problem
    assert oid in error.problem
    assert "git lfs pull" in error.remedy


def test_bytes_of_no_known_kind_are_told_by_their_size(tmp_path: Path) -> None:
    error = refused(tmp_path, bytes(range(200, 256)) * 10)
    assert "560 bytes" in error.problem
    assert "torch.save" in error.remedy


def test_an_ordinary_zip_names_what_is_in_it(tmp_path: Path) -> None:
    assert "readme.txt" in refused(tmp_path, zip_bytes({"readme.txt": b"hello"})).problem
    inside = refused(tmp_path, zip_bytes({"runs/best.pth": b"x"}))
    assert "best.pth" in inside.problem


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [{"w": [1.0, 2.0]}, [1, 2], (1, "a"), "text"], ids=repr)
def test_a_plain_pickle_is_called_one(tmp_path: Path, protocol: int, value: object) -> None:
    """Failure mode 12."""
    error = refused(tmp_path, pickle.dumps(value, protocol=protocol))
    assert "plain Python pickle" in error.problem
    assert "torch.save" in error.remedy


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("value", "words"),
    [({"lr": 0.1, "epochs": 3}, "lr, epochs"), ({}, "empty dictionary"), ([1, 2], "list")],
    ids=["options", "empty", "list"],
)
def test_a_saved_object_without_tensors_is_told_by_what_it_holds(
    tmp_path: Path, value: object, words: str, zipped: bool
) -> None:
    torch.save(value, tmp_path / "m.pth", _use_new_zipfile_serialization=zipped)
    error = refusal(tmp_path / "m.pth")
    assert "contains no tensor" in error.problem
    assert words in error.problem


def test_safetensors_without_tensors_are_not_called_torch_saves_work(tmp_path: Path) -> None:
    safetensors.torch.save_file({}, tmp_path / "m.safetensors")
    error = refusal(tmp_path / "m.safetensors")
    assert "contains no tensor" in error.problem
    assert "torch.save" not in error.problem


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    assert "contains no checkpoint" in refusal(tmp_path).problem
    assert "no file" in refusal(tmp_path / "gone.pth").problem
    (tmp_path / "file").write_bytes(b"x")
    assert "no file" in refusal(tmp_path / "file" / "below.pth").problem


def zip_ends(path: Path) -> dict[str, int]:
    """Where each tensor's bytes end, by Python's own zipfile."""
    ends = {}
    with zipfile.ZipFile(path) as archive:
        for position, key in enumerate(tensors()):
            info = archive.getinfo(f"{path.stem}/data/{position}")
            with path.open("rb") as file:
                file.seek(info.header_offset + 26)
                name, extra = np.frombuffer(file.read(4), "<u2")
            ends[key] = info.header_offset + 30 + int(name) + int(extra) + info.file_size
    return ends


@pytest.mark.parametrize("share", [0.15, 0.4, 0.75, 0.9])
def test_a_truncated_zip_names_exactly_the_tensors_that_are_whole(
    tmp_path: Path, share: float
) -> None:
    """Failure mode 10."""
    path = tmp_path / "m.pth"
    torch.save(tensors(), path)
    ends, size = zip_ends(path), path.stat().st_size
    near = int(size * share)
    edge = min(ends.values(), key=lambda end: abs(end - near))
    for cut in (near, edge - 1, edge, edge + 1):
        error = refused(tmp_path, path.read_bytes()[:cut], "cut.pth")
        assert isinstance(error, CheckpointError)
        assert "cut off" in error.problem
        assert f"{count(cut)} bytes" in error.problem
        assert error.whole == tuple(key for key, end in ends.items() if end <= cut)


def test_a_zip_cut_within_its_pickle_is_cut_off_too(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "m.pth")
    error = refused(tmp_path, (tmp_path / "m.pth").read_bytes()[:300])
    assert "cut off" in error.problem
    assert isinstance(error, CheckpointError)
    assert error.whole == ()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_legacy_stream_tells_expected_and_present_bytes(
    tmp_path: Path, share: float
) -> None:
    """Failure mode 11."""
    saved = {key: value.repeat(100, 1) for key, value in tensors().items()}
    torch.save(saved, tmp_path / "m.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "m.pth").read_bytes()
    cut = int(len(content) * share)
    error = refused(tmp_path, content[:cut])
    assert isinstance(error, CheckpointError)
    assert count(cut) in error.problem
    payload = sum(value.nbytes for value in saved.values())
    if cut < payload:
        assert count(payload) in error.problem
    whole = tuple(key for key, value in saved.items() if bytes_end(content, value) <= cut)
    assert error.whole == whole
    assert f"{len(whole)} of its 8" in error.problem


def bytes_end(content: bytes, tensor: torch.Tensor) -> int:
    """Where a tensor's bytes end, found by looking for them."""
    data = tensor.numpy().tobytes()
    return content.index(data) + len(data)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_safetensors_name_the_tensors_that_are_whole(
    tmp_path: Path, share: float
) -> None:
    safetensors.torch.save_file(tensors(), tmp_path / "m.safetensors")
    content = (tmp_path / "m.safetensors").read_bytes()
    cut = int(len(content) * share)
    error = refused(tmp_path, content[:cut], "cut.safetensors")
    assert isinstance(error, CheckpointError)
    assert "cut off" in error.problem
    whole = {key for key, value in tensors().items() if bytes_end(content, value) <= cut}
    assert set(error.whole) == whole


def test_safetensors_cut_within_their_header_are_cut_off(tmp_path: Path) -> None:
    safetensors.torch.save_file(tensors(), tmp_path / "m.safetensors")
    content = (tmp_path / "m.safetensors").read_bytes()[:100]
    assert "cut off" in refused(tmp_path, content, "cut.safetensors").problem


def test_a_file_overwritten_while_open_is_not_read_as_something_else(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save(tensors(), path)
    entry = open_checkpoint(path).state_dict()["layer3.weight"]
    torch.save({key: value + 1 for key, value in tensors().items()}, path)
    with pytest.raises(SourceError, match="changed while it was open"):
        read_tensor(entry)


def test_a_file_truncated_while_open_is_an_error_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save(tensors(), path)
    entry = open_checkpoint(path).state_dict()["layer7.weight"]
    with path.open("r+b") as file:
        file.truncate(100)
    with pytest.raises(SourceError, match="Open it again"):
        read_tensor(entry)


def replace(path: Path) -> None:
    torch.save({"other": torch.ones(9)}, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


@pytest.mark.parametrize("change", [Path.unlink, replace], ids=["removed", "replaced"])
def test_a_file_replaced_or_removed_while_open_keeps_its_bytes(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "m.pth"
    torch.save(tensors(), path)
    entry = open_checkpoint(path).state_dict()["layer3.weight"]
    change(path)
    assert torch.equal(read_tensor(entry), tensors()["layer3.weight"])


def test_a_tensor_on_the_meta_device_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    torch.save({"w": torch.empty(1 << 40, 64, device="meta")}, tmp_path / "m.pth")
    entry = open_checkpoint(tmp_path / "m.pth").state_dict()["w"]
    with pytest.raises(CheckpointError, match="meta device"):
        read_tensor(entry)


def test_the_reader_imports_no_torch() -> None:
    code = "import sys, core.checkpoint; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
