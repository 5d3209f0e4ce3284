"""A checkpoint inside a gzip, bzip2, xz, zip or tar file opens, within bounds."""

import bz2
import gzip
import io
import lzma
import os
import random
import resource
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO

import pytest
import safetensors.torch
import torch
from huggingface_hub import save_torch_state_dict

from core.checkpoint import FileSet, open_checkpoint
from core.checkpoint.containers.packed import Unpacking
from core.checkpoint.containers.sources import LocalFile
from core.checkpoint.readers.formats import look_into
from core.checkpoint.sets.assembled import read_file_set
from core.errors import CheckpointError, LoupeError, SourceError
from core.inspect import danger_sentence, verify
from core.tensors import read_tensor
from core.wording import count
from tests.bounds import at_most
from tests.core.checkpoint.files_by_hand import TOUCH

PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}

OPENERS: Mapping[str, Callable[[Path], IO[bytes]]] = {
    "gzip": partial(gzip.GzipFile, mode="wb", compresslevel=1),
    "bzip2": partial(bz2.BZ2File, mode="wb", compresslevel=1),
    "xz": partial(lzma.LZMAFile, mode="wb", preset=0),
}
"""What packs piece by piece, as fast as it can."""


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {"conv.weight": torch.randn(8, 3, 3, 3), "conv.bias": torch.randn(8)}


def saved(kind: str) -> bytes:
    if kind == "safetensors":
        return safetensors.torch.save(weights())
    data = io.BytesIO()
    torch.save(weights(), data, _use_new_zipfile_serialization=kind == "zip")
    return data.getvalue()


def assert_opens(path: Path, scratch: Path | None = None) -> None:
    checkpoint = open_checkpoint(path, scratch=scratch)
    assert set(checkpoint.state_dict()) == set(weights())
    for key, tensor in weights().items():
        assert torch.equal(read_tensor(checkpoint.state_dict()[key]), tensor)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("packer", PACKERS)
def test_a_packed_checkpoint_opens_and_leaves_nothing_behind(
    tmp_path: Path, packer: str, kind: str
) -> None:
    path, scratch = tmp_path / "model.pth.packed", tmp_path / "scratch"
    scratch.mkdir()
    data = saved(kind)
    path.write_bytes(PACKERS[packer](data))
    checkpoint = open_checkpoint(path, scratch=scratch)
    for key, tensor in weights().items():
        assert torch.equal(read_tensor(checkpoint.state_dict()[key]), tensor)
    assert any(packer in note for note in checkpoint.notes)
    assert checkpoint.size == path.stat().st_size
    assert list(scratch.iterdir()) == []


def test_gzip_files_one_after_another_are_one(tmp_path: Path) -> None:
    data = saved("zip")
    (tmp_path / "m.gz").write_bytes(gzip.compress(data[:999]) + gzip.compress(data[999:]))
    assert_opens(tmp_path / "m.gz")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_that_holds_one_checkpoint_opens_it(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "release.zip", "w", method) as archive:
        archive.writestr("release/README.md", "weights")
        archive.writestr("release/model.pth", saved("zip"))
        archive.writestr("__MACOSX/release/._model.pth", b"finder")
    assert_opens(tmp_path / "release.zip")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_that_holds_one_checkpoint_opens_it(tmp_path: Path, mode: str, form: int) -> None:
    long_name = "release/" + "deep/" * 18 + "model.safetensors"
    with tarfile.open(tmp_path / "release.tar", mode, format=form) as archive:  # type: ignore[call-overload]
        for name, data in (("release/notes.txt", b"hello"), (long_name, saved("safetensors"))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert_opens(tmp_path / "release.tar")


@pytest.mark.parametrize("packing", ["zip", "deflated", "tar", "tar.gz"])
def test_shards_in_an_archive_are_one_checkpoint(tmp_path: Path, packing: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_torch_state_dict(weights(), folder, max_shard_size=500)
    assert len(list(folder.glob("*-of-*"))) == 2
    path = tmp_path / f"model.{packing}"
    if packing.startswith("tar"):
        with tarfile.open(path, "w:gz" if packing == "tar.gz" else "w") as archive:
            archive.add(folder, "model")
    else:
        method = zipfile.ZIP_DEFLATED if packing == "deflated" else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", method) as archive:
            for file in folder.iterdir():
                archive.write(file, f"model/{file.name}")
    checkpoint = open_checkpoint(path)
    for key, tensor in weights().items():
        assert torch.equal(read_tensor(checkpoint.state_dict()[key]), tensor)


@pytest.mark.parametrize("packing", ["zip", "deflated", "tar.gz"])
def test_several_checkpoints_in_an_archive_open_under_their_names(
    tmp_path: Path, packing: str
) -> None:
    path = tmp_path / f"all.{packing}"
    names = [f"run/epoch{epoch}.pth" for epoch in range(3)]
    pack(path, packing, {name: saved("zip") for name in names})
    checkpoint = open_checkpoint(path)
    assert list(checkpoint.state_dicts) == ["epoch0.pth", "epoch1.pth", "epoch2.pth"]
    for key, tensor in weights().items():
        assert torch.equal(read_tensor(checkpoint.state_dict("epoch1.pth")[key]), tensor)
    assert any("epoch0.pth, epoch1.pth and epoch2.pth" in note for note in checkpoint.notes)
    assert checkpoint.format_title == "an archive of several checkpoints"


def pack(path: Path, packing: str, files: Mapping[str, bytes]) -> None:
    """Write the files into a zip or a tar."""
    if packing == "tar.gz":
        with tarfile.open(path, "w:gz") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return
    method = zipfile.ZIP_DEFLATED if packing == "deflated" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)


def test_an_archive_of_reinforcement_learning_opens_its_policy(tmp_path: Path) -> None:
    """The members are those that stable-baselines3 writes (common/save_util.py)."""
    policy = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Linear(64, 2))
    adam = torch.optim.Adam(policy.parameters())
    policy(torch.ones(1, 4)).sum().backward()
    adam.step()
    values = {
        "policy.pth": policy.state_dict(),
        "policy.optimizer.pth": adam.state_dict(),
        "pytorch_variables.pth": None,
    }
    files = {"data": b"{}", "_stable_baselines3_version": b"2.3.0"}
    for name, value in values.items():
        buffer = io.BytesIO()
        torch.save(value, buffer)
        files[name] = buffer.getvalue()
    pack(tmp_path / "agent.zip", "zip", files)
    checkpoint = open_checkpoint(tmp_path / "agent.zip")
    assert checkpoint.best == "policy.pth"
    assert list(checkpoint.state_dict()) == list(policy.state_dict())
    assert checkpoint.roles["policy.optimizer.pth.state"] == "optimizer"
    assert checkpoint.state_dict("policy.optimizer.pth").path == "policy.optimizer.pth.state"


def test_a_member_that_cannot_be_read_leaves_the_others_readable(tmp_path: Path) -> None:
    pack(tmp_path / "m.zip", "zip", {"a.pth": saved("zip"), "b.pth": b"<html>no</html>"})
    assert_opens(tmp_path / "m.zip")
    notes = open_checkpoint(tmp_path / "m.zip").notes
    assert any("b.pth was left out, since it cannot be read." in note for note in notes)


BROKEN = {
    "broken behind the call": b"\x80\x02" + TOUCH + b"}X\xff",
    "not read to the call": b"\x80\x02]" + b"\xff" + b"cos\nsystem\nX\x01\0\0\0a\x85R.",
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("packing", ["zip", "deflated", "tar.gz"])
def test_what_an_unreadable_member_would_have_run_comes_first(
    tmp_path: Path, packing: str, kind: str
) -> None:
    path = tmp_path / ("m.tar.gz" if packing == "tar.gz" else "m.zip")
    pack(path, packing, {"a.pth": saved("zip"), "b.pth": BROKEN[kind], "c.pth": saved("zip")})
    checkpoint = open_checkpoint(path)
    if kind == "broken behind the call":
        assert danger_sentence(checkpoint).startswith(f"{path.name} would have run os.system")
    else:
        assert danger_sentence(checkpoint).startswith(f"{path.name} hides os.system")
    note = next(note for note in checkpoint.notes if "left out" in note)
    assert note.startswith("Inside, “b.pth” ") or note.startswith("Inside, b.pth ")
    assert "os.system" in note.partition(" Loupe ran none of it. b.pth was left out")[0]


@pytest.mark.parametrize("packing", ["zip", "tar.gz"])
def test_the_packed_member_and_those_left_out_are_named(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"release.{packing}"
    pack(path, packing, {"run/inner.pth": saved("zip"), "run/README.md": b"weights"})
    assert f"The checkpoint is packed in {path.name}, as run/inner.pth." in (
        open_checkpoint(path).notes
    )
    others = {"ema.pth": saved("zip"), "sub/x.pth": saved("zip")}
    pack(path, packing, {"pytorch_model.bin": saved("zip"), **others})
    notes = " ".join(open_checkpoint(path).notes)
    assert f"packed in {path.name}, as pytorch_model.bin." in notes
    assert "Files next to the checkpoint were left out: ema.pth." in notes
    assert "left out: sub/ (1 file)" in notes


def test_an_archive_within_an_archive_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("model.pth", gzip.compress(saved("zip")))
    with pytest.raises(CheckpointError, match="gzip archive"):
        open_checkpoint(tmp_path / "outer.zip")


def test_a_checkpoint_in_a_zip_in_a_zip_is_named_with_the_zip(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("weights/m.pth", saved("zip"))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.writestr("download.pth", inner.getvalue())
    with pytest.raises(CheckpointError, match=r"In download\.pth: .*weights/m\.pth") as raised:
        open_checkpoint(tmp_path / "outer.zip")
    assert raised.value.remedy == "Unpack it, and open the checkpoint inside."


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_packed_file_that_is_cut_off_is_said(tmp_path: Path, packer: str, share: float) -> None:
    data = PACKERS[packer](random.Random(1).randbytes(5000) + saved("zip"))
    (tmp_path / "m").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"cut off|damaged"):
        open_checkpoint(tmp_path / "m")


@pytest.mark.parametrize("packer", PACKERS)
def test_a_damaged_packed_file_is_said(tmp_path: Path, packer: str) -> None:
    data = bytearray(PACKERS[packer](random.Random(1).randbytes(5000)))
    for at in range(20, len(data), 97):
        data[at] ^= 0x55
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(CheckpointError):
        open_checkpoint(tmp_path / "m")


@pytest.mark.slow
@pytest.mark.parametrize("packer", [*PACKERS, "zip"])
def test_a_bomb_is_refused_before_it_costs_anything(tmp_path: Path, packer: str) -> None:
    path, scratch = tmp_path / "bomb", tmp_path / "scratch"
    scratch.mkdir()
    pieces = [bytes(1 << 22)] * 100
    if packer == "zip":
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open("model.pth", "w") as member,
        ):
            for piece in pieces:
                member.write(piece)
    else:
        with OPENERS[packer](path) as file:
            for piece in pieces:
                file.write(piece)
    with at_most(calls=4_000), pytest.raises(CheckpointError, match="unpacks to more"):
        open_checkpoint(path, scratch=scratch)
    assert list(scratch.iterdir()) == []


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "secret.zip", "w") as archive:
        archive.writestr("model.pth", saved("zip"))
    data = bytearray((tmp_path / "secret.zip").read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "secret.zip").write_bytes(data)
    with pytest.raises(CheckpointError, match="encrypted"):
        open_checkpoint(tmp_path / "secret.zip")


def test_the_last_part_of_a_split_zip_says_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "part.zip", "w") as archive:
        archive.writestr("model.pth", saved("zip"))
    data = bytearray((tmp_path / "part.zip").read_bytes())
    data[data.rfind(b"PK\x05\x06") + 4] = 2
    (tmp_path / "part.zip").write_bytes(data)
    with pytest.raises(CheckpointError, match="split into 3"):
        open_checkpoint(tmp_path / "part.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_would_begin_behind_the_files_end_is_refused(
    tmp_path: Path, method: int
) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w", method) as archive:
        archive.writestr("model.pth", b"weights")
    data = bytearray((tmp_path / "m.zip").read_bytes())
    data[28:30] = b"\xff\xff"  # the length of the member's extra field
    (tmp_path / "m.zip").write_bytes(data)
    with pytest.raises(CheckpointError, match="not where the archive's directory says"):
        open_checkpoint(tmp_path / "m.zip")


@pytest.mark.parametrize("name", ["../../escape.pth", "/etc/escape.pth", "a\\..\\b.pth"])
def test_a_members_name_leads_nowhere(tmp_path: Path, name: str) -> None:
    before = set(tmp_path.parent.iterdir())
    with tarfile.open(tmp_path / "climb.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(saved("zip"))
        archive.addfile(member, io.BytesIO(saved("zip")))
        link = tarfile.TarInfo("link.pth")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert_opens(tmp_path / "climb.tar")
    assert set(tmp_path.parent.iterdir()) == before
    assert not os.path.lexists("/etc/escape.pth")


def test_a_tar_of_other_things_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("cat.jpg"), io.BytesIO())
    with pytest.raises(CheckpointError, match=r"tar archive.*cat\.jpg"):
        open_checkpoint(tmp_path / "photos.tar")


def test_lying_tar_headers_are_refused_or_opened(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "m.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("x" * 150 + ".pth")
        member.size = len(saved("zip"))
        archive.addfile(member, io.BytesIO(saved("zip")))
    data = (tmp_path / "m.tar").read_bytes()
    rng = random.Random(3)
    for _ in range(300):
        changed = bytearray(data)
        header = rng.choice([0, 512, 1024])
        changed[header + rng.randrange(512)] = rng.randrange(256)
        changed[header + 148 : header + 156] = b" " * 8
        changed[header + 148 : header + 155] = b"%06o\0" % sum(changed[header : header + 512])
        (tmp_path / "m.tar").write_bytes(changed)
        try:
            open_checkpoint(tmp_path / "m.tar")
        except LoupeError as error:
            message = str(error)
            assert len(message) < 900
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8 << 20


def test_what_packs_well_is_unpacked_in_little_memory(tmp_path: Path) -> None:
    tensor = torch.randint(0, 4, (8 << 20,), dtype=torch.int32)
    data = safetensors.torch.save({"w": tensor})
    (tmp_path / "m.gz").write_bytes(gzip.compress(data, 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    checkpoint = open_checkpoint(tmp_path / "m.gz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10 << 10
    assert torch.equal(read_tensor(checkpoint.state_dict()["w"]), tensor)


def test_a_long_row_of_empty_gzip_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gz").write_bytes(gzip.compress(b"") * 100_000)
    with at_most(calls=50_000), pytest.raises(CheckpointError, match="sequence of empty streams"):
        open_checkpoint(tmp_path / "m.gz")


def test_a_deflated_member_whose_checksum_is_another_is_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.pth", saved("zip"))
    data = bytearray((tmp_path / "m.zip").read_bytes())
    data[data.rfind(b"PK\x01\x02") + 16] ^= 1
    (tmp_path / "m.zip").write_bytes(data)
    with pytest.raises(CheckpointError, match="checksum"):
        open_checkpoint(tmp_path / "m.zip")


def test_a_scratch_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.gz").write_bytes(gzip.compress(saved("zip")))
    with pytest.raises(SourceError, match="cannot be unpacked"):
        open_checkpoint(tmp_path / "m.gz", scratch=tmp_path / "gone")


def test_the_files_of_a_zip_share_one_bound(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in (1, 2):
            archive.writestr(f"model-{number:05}-of-00002.safetensors", saved("safetensors"))
    whole = LocalFile(tmp_path / "m.zip")
    size = len(saved("safetensors"))
    files = look_into(whole, "m.zip", Unpacking(None, size + size // 2))
    assert isinstance(files, FileSet)
    with pytest.raises(CheckpointError, match="unpacks to more"):
        read_file_set(files)


@pytest.mark.parametrize("members", [9_000, 30_000])
def test_a_zip_of_very_many_checkpoints_is_refused_at_once(tmp_path: Path, members: int) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for number in range(members):
            archive.writestr(f"{number}.pth", b"")
    with at_most(calls=2_000_000), pytest.raises(LoupeError, match=count(members)):
        open_checkpoint(tmp_path / "m.zip")


def test_a_deflated_member_that_begins_behind_the_file_is_damaged(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.pth", saved("zip"))
    data = bytearray((tmp_path / "m.zip").read_bytes())
    data[28:30] = b"\xff\xff"  # the length of the extra field in the member's own header
    (tmp_path / "m.zip").write_bytes(data)
    with pytest.raises(CheckpointError, match="not where"):
        open_checkpoint(tmp_path / "m.zip")


def test_a_deflated_member_that_the_directory_puts_behind_the_file_is_refused(
    tmp_path: Path,
) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.pth", saved("zip"))
        archive.writestr("notes.txt", "text")
    data = bytearray((tmp_path / "m.zip").read_bytes())
    entry = data.rfind(b"PK\x01\x02")
    data[entry + 42 : entry + 46] = (1 << 30).to_bytes(4, "little")
    (tmp_path / "m.zip").write_bytes(data)
    with pytest.raises(CheckpointError, match="lies outside"):
        open_checkpoint(tmp_path / "m.zip")


def repacked(path: Path, method: int, below: str = "", kind: str = "zip") -> None:
    """A file of torch.save, whose members somebody packed again."""
    with (
        zipfile.ZipFile(io.BytesIO(saved(kind))) as original,
        zipfile.ZipFile(path, "w", method) as archive,
    ):
        for name in original.namelist():
            archive.writestr(below + name, original.read(name))


def test_a_zip_that_was_packed_again_with_compression_opens_as_torch_opens_it(
    tmp_path: Path,
) -> None:
    path, scratch = tmp_path / "m.pth", tmp_path / "scratch"
    scratch.mkdir()
    repacked(path, zipfile.ZIP_DEFLATED)
    assert set(torch.load(path)) == set(weights())
    assert_opens(path, scratch)
    checkpoint = open_checkpoint(path)
    assert any("Somebody packed this zip again" in note for note in checkpoint.notes)
    result = verify(checkpoint)
    assert result.sound
    assert result.checked >= len(weights())
    assert list(scratch.iterdir()) == []


def test_a_deflated_storage_whose_checksum_is_another_is_named(tmp_path: Path) -> None:
    repacked(tmp_path / "m.pth", zipfile.ZIP_DEFLATED)
    data = bytearray((tmp_path / "m.pth").read_bytes())
    name = data.rfind(b"archive/data/0")
    data[name - 46 + 16] ^= 1  # the CRC-32 in the directory's entry
    (tmp_path / "m.pth").write_bytes(data)
    (damage,) = verify(open_checkpoint(tmp_path / "m.pth")).damaged
    assert damage.keys == ("conv.weight",)


def test_a_deflated_storage_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(30 << 20)}, buffer)
    with (
        zipfile.ZipFile(buffer) as original,
        zipfile.ZipFile(tmp_path / "m.pth", "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in original.namelist():
            archive.writestr(name, original.read(name))
    entry = open_checkpoint(tmp_path / "m.pth").state_dict()["w"]
    with pytest.raises(CheckpointError, match="unpacks to more"):
        read_tensor(entry)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_checkpoint_one_folder_deeper_in_its_zip_opens(tmp_path: Path, method: int) -> None:
    repacked(tmp_path / "m.zip", method, "outer/")
    assert_opens(tmp_path / "m.zip")
    notes = open_checkpoint(tmp_path / "m.zip").notes
    assert any("in the folder outer/archive of the zip" in note for note in notes)


@pytest.mark.parametrize("depth", ["", "archive"])
def test_a_checkpoint_that_was_unpacked_into_a_folder_opens(tmp_path: Path, depth: str) -> None:
    with zipfile.ZipFile(io.BytesIO(saved("zip"))) as archive:
        archive.extractall(tmp_path)
    assert_opens(tmp_path / depth)
    checkpoint = open_checkpoint(tmp_path / depth)
    assert any("zip of torch.save that was unpacked" in note for note in checkpoint.notes)
    assert verify(checkpoint).sound
    (tmp_path / "archive" / "data" / "0").unlink()
    with pytest.raises(CheckpointError, match="does not contain"):
        open_checkpoint(tmp_path / depth)


def test_the_parts_of_one_checkpoint_in_a_zip_are_no_several_checkpoints(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        for name in ("model.safetensors", "optimizer.pt"):
            kind = "safetensors" if name.endswith("safetensors") else "zip"
            archive.writestr(f"checkpoint-5/{name}", saved(kind))
    checkpoint = open_checkpoint(tmp_path / "run.zip")
    assert checkpoint.format == "parts"
    assert list(checkpoint.state_dicts) == ["model", "optimizer"]
    assert "as checkpoint-5/model.safetensors and checkpoint-5/optimizer.pt" in checkpoint.notes[0]


def test_an_archive_names_its_checkpoints_by_what_chooses_them(tmp_path: Path) -> None:
    shards = {"model-00001-of-00002.safetensors": "v", "model-00002-of-00002.safetensors": "w"}
    with tarfile.open(tmp_path / "m.tar", "w") as archive:
        torch.save({"w": torch.ones(3)}, tmp_path / "whole.pt")
        archive.add(tmp_path / "whole.pt", "several/whole.pt")
        for name, key in shards.items():
            safetensors.torch.save_file({key: torch.ones(3)}, tmp_path / name)
            archive.add(tmp_path / name, f"several/sh/{name}")
    checkpoint = open_checkpoint(tmp_path / "m.tar")
    assert checkpoint.notes[0] == (
        "m.tar contains several checkpoints: whole.pt and sh. Each is under its name."
    )
    assert all(checkpoint.state_dict(name) for name in ("whole.pt", "sh"))
