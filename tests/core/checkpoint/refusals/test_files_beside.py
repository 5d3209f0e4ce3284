"""What files beside a checkpoint would have run is told first, in folders and in archives."""

import base64
import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as safetensors

from core.checkpoint import Verdict, open_checkpoint
from core.inspect import danger_sentence, safety_summary
from tests.core.checkpoint.pickles.test_hidden import Command, saved

WEIGHTS = {"w": torch.arange(6.0)}
CALL = pickle.dumps(Command())


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files as a folder, or as an archive by the path's ending."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    elif ".tar" in path.name:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
            for name, data in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    else:
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    return path


def model() -> bytes:
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer)
    return buffer.getvalue()


BESIDE = {
    **{f"x{ending}": CALL for ending in (
        ".pkl", ".pickle", ".dat", ".joblib", ".npy", ".pt", ".bin", ".ckpt", ".xyz", "")},
    "random_states_0.pkl": CALL,
    "rng_state.pth": saved(Command()),
    "old.pkl": pickle.dumps(Command(), protocol=0),
    "x.pkl.gz": gzip.compress(CALL),
}  # fmt: skip


@pytest.mark.parametrize("packing", ["folder", "all.zip", "all.tar", "all.tar.gz"])
@pytest.mark.parametrize("name", BESIDE)
def test_a_file_beside_the_weights_is_told_first(tmp_path: Path, name: str, packing: str) -> None:
    path = pack(tmp_path / packing, {"model.safetensors": safetensors(WEIGHTS), name: BESIDE[name]})
    checkpoint = open_checkpoint(path)
    told = f"{packing} contains {name}, which would have run {os.name}.system when loaded"
    assert danger_sentence(checkpoint) == f"{told}: Loupe did not run it."
    summary = safety_summary(checkpoint)
    assert summary.worst is Verdict.DANGEROUS
    assert "do not load that file" in summary.detail


@pytest.mark.parametrize("packing", ["folder", "all.zip", "all.tar"])
def test_another_copy_of_the_weights_is_searched(tmp_path: Path, packing: str) -> None:
    path = pack(
        tmp_path / packing,
        {"model.safetensors": safetensors(WEIGHTS), "pytorch_model.bin": saved(Command())},
    )
    assert "contains pytorch_model.bin, which would have run" in danger_sentence(
        open_checkpoint(path)
    )


def test_an_archive_in_an_archive_is_searched(tmp_path: Path) -> None:
    inner = pack(tmp_path / "in.zip", {"e.pt": saved(Command())}).read_bytes()
    path = pack(tmp_path / "all.zip", {"model.pt": model(), "in.zip": inner})
    assert "contains in.zip/e.pt, which" in danger_sentence(open_checkpoint(path))


def test_the_text_of_a_pickle_in_a_reinforcement_learning_archive_is_searched(
    tmp_path: Path,
) -> None:
    text = base64.b64encode(CALL).decode()
    data = json.dumps({"policy_class": {":type:": "<class>", ":serialized:": text}}).encode()
    path = pack(tmp_path / "all.zip", {"policy.pth": model(), "data": data})
    assert "contains data, which would have run" in danger_sentence(open_checkpoint(path))


def test_a_deepspeed_folder_is_searched(tmp_path: Path) -> None:
    ranks = {f"step1/mp_rank_0{rank}_model_states.pt": saved(rank and Command()) for rank in (0, 1)}
    path = pack(tmp_path / "ds", {**ranks, "latest": b"step1"})
    assert "mp_rank_01_model_states.pt, which would" in danger_sentence(open_checkpoint(path))


def test_an_exported_program_s_samples_are_searched(tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(program, tmp_path / "m.pt2")
    with zipfile.ZipFile(tmp_path / "m.pt2") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in files if "sample_inputs" in name)
    files[name] = saved(Command())
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        for each, data in files.items():
            archive.writestr(each, data)
    assert f"contains {name}, which" in danger_sentence(open_checkpoint(tmp_path / "m.pt2"))


def test_every_file_is_named(tmp_path: Path) -> None:
    path = pack(tmp_path / "all", {"model.pt": model(), "a.pkl": CALL, "b.pkl": CALL})
    assert "contains a.pkl and b.pkl, which" in danger_sentence(open_checkpoint(path))


@pytest.mark.parametrize("packing", ["folder", "all.zip", "all.tar.gz"])
def test_honest_files_beside_the_weights_are_no_danger(tmp_path: Path, packing: str) -> None:
    honest = {
        "model.safetensors": safetensors(WEIGHTS), "pytorch_model.bin": model(),
        "rng_state.pkl": pickle.dumps({"torch": torch.get_rng_state()}), "config.json": b"{}",
        "README.md": b"import os\nos.system('make')\n", "train.py": b"cos\nsystem\n",
        "vocab.txt": b"a\nb\n" * 2000, "image.png": b"\x89PNG\r\n\x1a\n" + bytes(99),
    }  # fmt: skip
    checkpoint = open_checkpoint(pack(tmp_path / packing, honest))
    assert danger_sentence(checkpoint) == ""
    assert not any("searched" in note for note in checkpoint.notes)


@pytest.mark.parametrize("packing", ["folder", "all.zip"])
def test_what_was_not_searched_is_said(tmp_path: Path, packing: str) -> None:
    many = {f"x{number:03}.pkl": pickle.dumps(number) for number in range(80)}
    large = {"large.pkl": pickle.dumps(["a" * 100, *range(600_000)])}
    for others in (many, large):
        path = pack(tmp_path / packing, {"model.safetensors": safetensors(WEIGHTS), **others})
        notes = open_checkpoint(path).notes
        assert any("could not be searched for dangerous names" in note for note in notes)
