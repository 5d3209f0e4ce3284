"""The members of a tar are those that tarfile lists, in each of its formats."""

import io
import tarfile
from pathlib import Path

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError
from tests.core.checkpoint.same_tensors import assert_same_tensors

SAVED = {"w": torch.arange(6.0).reshape(2, 3)}


def saved() -> bytes:
    file = io.BytesIO()
    torch.save(SAVED, file)
    return file.getvalue()


def tar_of(path: Path, format: int, name: str = "m.pth", **records: str) -> None:
    data = saved()
    with tarfile.open(path, "w", format=format) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        member.pax_headers = records
        archive.addfile(member, io.BytesIO(data))


def with_size(path: Path, field: bytes, at: int = 0) -> None:
    """Write a size into the header at this offset, and its checksum again."""
    data = path.read_bytes()
    header = bytearray(data[at : at + 512])
    header[124:136] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(data[:at] + bytes(header) + data[at + 512 :])


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["m.pth", "d" * 60 + "/" + "e" * 60 + "/m.pth"])
def test_a_checkpoint_in_a_tar_opens(tmp_path: Path, format: int, name: str) -> None:
    tar_of(tmp_path / "m.tar", format, name)
    assert_same_tensors(open_checkpoint(tmp_path / "m.tar"), SAVED)


def test_a_size_in_posix_records_counts(tmp_path: Path) -> None:
    """There tar writes what a header has no room for, of files of 8 GiB and more."""
    tar_of(tmp_path / "m.tar", tarfile.PAX_FORMAT, size=str(len(saved())))
    with_size(tmp_path / "m.tar", bytes(12), at=1024)  # after the records and their own header
    with tarfile.open(tmp_path / "m.tar") as archive:
        assert archive.getmembers()[0].size == len(saved())
    assert_same_tensors(open_checkpoint(tmp_path / "m.tar"), SAVED)


def test_a_binary_size_counts(tmp_path: Path) -> None:
    """GNU tar writes it so from 8 GiB on."""
    tar_of(tmp_path / "m.tar", tarfile.GNU_FORMAT)
    with_size(tmp_path / "m.tar", b"\x80" + len(saved()).to_bytes(11, "big"))
    with tarfile.open(tmp_path / "m.tar") as archive:
        assert archive.getmembers()[0].size == len(saved())
    assert_same_tensors(open_checkpoint(tmp_path / "m.tar"), SAVED)


def test_a_size_that_is_none_is_said(tmp_path: Path) -> None:
    tar_of(tmp_path / "m.tar", tarfile.PAX_FORMAT, size="many")
    with pytest.raises(CheckpointError, match="a size in it is not a number"):
        open_checkpoint(tmp_path / "m.tar")
    tar_of(tmp_path / "m.tar", tarfile.GNU_FORMAT)
    with_size(tmp_path / "m.tar", b"many".ljust(12, b"\0"))
    with pytest.raises(CheckpointError, match="a size in it is not a number"):
        open_checkpoint(tmp_path / "m.tar")


def test_a_name_that_is_longer_than_any_is_refused(tmp_path: Path) -> None:
    tar_of(tmp_path / "m.tar", tarfile.GNU_FORMAT, "n" * 70_000)
    with pytest.raises(CheckpointError, match=r"a name in it has more than 65.5.kB"):
        open_checkpoint(tmp_path / "m.tar")


def test_the_records_of_git_archive_change_no_name(tmp_path: Path) -> None:
    with tarfile.open(
        tmp_path / "m.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0" * 40}
    ) as archive:
        member = tarfile.TarInfo("long/" * 40 + "m.pth")
        member.size = len(saved())
        archive.addfile(member, io.BytesIO(saved()))
    assert_same_tensors(open_checkpoint(tmp_path / "m.tar"), SAVED)


def test_more_members_than_any_archive_has_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "m.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("m.pth"))
    header = (tmp_path / "m.tar").read_bytes()[:512]
    (tmp_path / "m.tar").write_bytes(header * 20_001 + bytes(1024))
    with pytest.raises(CheckpointError, match=r"more than 20.000 members"):
        open_checkpoint(tmp_path / "m.tar")
