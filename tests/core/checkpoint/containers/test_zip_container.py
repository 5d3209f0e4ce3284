"""A zip's directory is read as zipfile reads it, and refused in a sentence where it is wrong."""

import struct
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.errors import CheckpointError
from tests.core.checkpoint.files_by_hand import with_tensor, zip_file
from tests.core.checkpoint.same_tensors import assert_same_tensors

WHOLE = zip_file(with_tensor(b"N"))
END = WHOLE.rindex(b"PK\x05\x06")
LAST = WHOLE.rindex(b"PK\x01\x02")
FIRST = WHOLE.index(b"PK\x01\x02")


def with_extra(*fields: tuple[int, bytes], length: int | None = None) -> bytes:
    """The zip with such extra fields at its last member, whose offset is in them alone."""
    extra = b"".join(
        struct.pack("<2H", kind, len(data) if length is None else length) + data
        for kind, data in fields
    )
    member = bytearray(WHOLE[LAST:END])
    member[42:46] = b"\xff" * 4
    member[30:32] = struct.pack("<H", len(extra))
    body = WHOLE[:LAST] + bytes(member) + extra
    return body + WHOLE[END : END + 12] + struct.pack("<2LH", len(body) - FIRST, FIRST, 0)


OFFSET = 1, struct.pack("<Q", struct.unpack_from("<L", WHOLE, LAST + 42)[0])
TIMES = 0x5455, struct.pack("<BL", 1, 0)
"""The field in which Info-ZIP's `zip` writes a file's times."""


@pytest.mark.parametrize("fields", [(OFFSET,), (TIMES, OFFSET), (TIMES, TIMES, OFFSET, TIMES)])
def test_an_offset_of_64_bits_is_found_among_other_fields(
    tmp_path: Path, fields: tuple[tuple[int, bytes], ...]
) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(with_extra(*fields))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    assert_same_tensors(open_checkpoint(path), {"w": torch.zeros(4)})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (with_extra((1, b"")), "a 64-bit number in its directory is missing"),
        (with_extra(OFFSET, length=24), "a 64-bit number in its directory is missing"),
        (with_extra(OFFSET, length=0xFFFF), "a 64-bit number in its directory is missing"),
        (with_extra(TIMES), "m/version lies outside it"),
        (with_extra(), "m/version lies outside it"),
    ],
    ids=["empty", "short", "long", "another", "none"],
)
def test_an_offset_that_is_missing_is_said(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "m.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(tmp_path / "m.pth")


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Python reads the last one, torch the first."""
    torch.save({"w": torch.ones(2)}, tmp_path / "m.pth")
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(tmp_path / "m.pth", "a") as zip:
        zip.writestr("m/data/0", bytes(8))
    with pytest.raises(CheckpointError, match="contains m/data/0 twice"):
        open_checkpoint(tmp_path / "m.pth")


def test_a_directory_that_is_larger_than_any_is_refused_before_it_is_read(tmp_path: Path) -> None:
    size = (32 << 20) + 1
    with (tmp_path / "m.pth").open("wb") as file:
        file.write(WHOLE[:FIRST])
        file.truncate(FIRST + size)
        file.seek(FIRST + size)
        file.write(WHOLE[END : END + 12] + struct.pack("<2LH", size, FIRST, 0))
    with pytest.raises(
        CheckpointError,
        match=r"Loupe reads: its directory has more than 33.6.MB; the file may be sound",
    ):
        open_checkpoint(tmp_path / "m.pth")


def test_a_directory_that_ends_within_a_member_gives_what_is_before_it(tmp_path: Path) -> None:
    cut = WHOLE[: LAST + 20] + WHOLE[END : END + 12]
    (tmp_path / "m.pth").write_bytes(cut + struct.pack("<2LH", LAST + 20 - FIRST, FIRST, 0))
    with pytest.raises(CheckpointError, match="cut off") as raised:
        open_checkpoint(tmp_path / "m.pth")
    assert raised.value.whole == ("w",)
