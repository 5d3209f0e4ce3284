"""What a checksum shows, and what only the bytes show: on files that torch wrote, some of
them overwritten in place."""

import zlib
from pathlib import Path

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare import alike, compare, is_read_by_itself, measurable, with_damage
from core.compare.comparison import Evidence, State
from core.compare.measurability import READ_BY_ITSELF
from core.compare.numbers import differences
from core.compare.verdict import verdict
from core.inspect import RecordChecks
from tests.core.compare.damaged_files import forged, overwritten

KEYS = [f"layer{index}.weight" for index in range(6)]


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {key: torch.randn(16, 16) for key in KEYS}


@pytest.fixture
def sound(weights: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    torch.save(weights, tmp_path / "sound.pth")
    return tmp_path / "sound.pth"


@pytest.fixture
def damaged(sound: Path, tmp_path: Path) -> Path:
    """The same file with four bytes of layer3.weight overwritten, as torch.load does not see."""
    return overwritten(sound, tmp_path / "damaged.pth", "data/3")


def compared(a: Path, b: Path, *, read: bool = True):
    checks = RecordChecks() if read else None
    state_dicts = (open_checkpoint(path).state_dict() for path in (a, b))
    return compare(*state_dicts, checks=checks)


def test_an_overwritten_tensor_is_the_same_by_checksum_only_until_it_is_read(sound, damaged):
    unread = compared(sound, damaged, read=False)
    assert unread.sentence.startswith("Same by checksum: all 6 tensors have the same stored ")
    assert {row.evidence for row in unread.rows} == {Evidence.CHECKSUM}
    read = compared(sound, damaged)
    assert read.sentence == (
        "Damaged: the stored checksum of layer3.weight in B does not hold. "
        "B differs from A in 1 of 6 tensors: layer3.weight."
    )
    rows = {row.key: row for row in read.rows}
    assert rows["layer3.weight"].state is State.CHANGED
    assert rows["layer3.weight"].damaged == ("B",)
    assert rows["layer3.weight"].note == "damaged in B: the stored checksum does not hold"
    assert {row.evidence for row in read.rows} == {Evidence.BYTES}
    assert not alike(read.rows)


def test_the_side_that_is_damaged_is_named(sound, damaged):
    assert [row.damaged for row in compared(damaged, sound).rows if row.damaged] == [("A",)]


def test_two_equal_damaged_files_are_identical_and_damaged(sound, damaged, tmp_path):
    other = overwritten(sound, tmp_path / "other.pth", "data/3")
    found = compared(damaged, other)
    assert found.sentence == (
        "Damaged: the stored checksum of layer3.weight in A and B does not hold. "
        "Identical: all 6 tensors have the same bytes."
    )
    assert not alike(found.rows)


def test_a_tensor_of_one_side_only_is_checked_too(weights, damaged, tmp_path):
    weights.pop("layer3.weight")
    torch.save(weights, tmp_path / "less.pth")
    found = compared(tmp_path / "less.pth", damaged)
    assert found.sentence.startswith("Damaged: the stored checksum of layer3.weight in B does not ")
    assert "1 tensor only in B: layer3.weight." in found.sentence


def test_several_damaged_tensors_are_counted(sound, damaged, tmp_path):
    worse = overwritten(damaged, tmp_path / "worse.pth", "data/5")
    assert compared(sound, worse).sentence.startswith(
        "Damaged: the stored checksums of 2 tensors in B do not hold, such as that of "
        "layer3.weight. B differs from A in 2 of 6 tensors"
    )


def test_a_forged_checksum_is_found_by_the_bytes(weights, sound, tmp_path):
    """The checksum holds in both files, so that hashing alone finds nothing."""
    raw = weights["layer3.weight"].numpy().tobytes()
    other = bytearray(raw)
    other[100] ^= 1
    weights["layer3.weight"] = torch.frombuffer(
        bytearray(forged(bytes(other), 400, zlib.crc32(raw))), dtype=torch.float32
    ).reshape(16, 16)
    torch.save(weights, tmp_path / "forged.pth")
    assert compared(sound, tmp_path / "forged.pth", read=False).counts[State.SAME] == 6
    found = compared(sound, tmp_path / "forged.pth")
    assert found.sentence == "B differs from A in 1 of 6 tensors: layer3.weight."
    assert not any(row.damaged for row in found.rows)


def test_renamed_and_transposed_tensors_are_the_same_by_checksum_until_they_are_read(
    weights, sound, tmp_path
):
    torch.save({f"net.{key}_x": value for key, value in weights.items()}, tmp_path / "named.pth")
    unread = compared(sound, tmp_path / "named.pth", read=False)
    assert unread.sentence.startswith("The same weights by checksum, renamed: 6 tensors under ")
    read = compared(sound, tmp_path / "named.pth")
    assert read.sentence.startswith("The same weights, renamed: 6 tensors under another key")
    overwritten(tmp_path / "named.pth", tmp_path / "damaged.pth", "data/3")
    found = compared(sound, tmp_path / "damaged.pth")
    assert [row.key_b for row in found.rows if row.state is State.CHANGED] == [
        "net.layer3.weight_x"
    ]
    assert not alike(found.rows, ignore_names=True)


def test_measuring_checks_the_checksums_of_what_it_reads(weights, sound, tmp_path):
    torch.save({key: value + 1 for key, value in weights.items()}, tmp_path / "moved.pth")
    moved = overwritten(tmp_path / "moved.pth", tmp_path / "damaged.pth", "data/2")
    found = compared(sound, moved, read=False)
    pairs = measurable(found)
    measured = differences(list(pairs.values()), checks=RecordChecks())
    numbers = {list(pairs)[index]: of_pair for index, of_pair in measured}
    assert [key for key, of_pair in numbers.items() if of_pair.damaged] == ["layer2.weight"]
    rows = with_damage(found, numbers).rows
    assert verdict(rows, numbers).sentence.startswith(
        "Damaged: the stored checksum of layer2.weight in B does not hold. "
    )
    assert not any(of_pair.damaged for _, of_pair in differences(list(pairs.values())))


def test_a_storage_is_read_once_for_all_its_tensors(tmp_path):
    whole = torch.randn(64, 64)
    views = {f"row{index}": row for index, row in enumerate(whole)}
    for name in "ab":
        torch.save(views, tmp_path / f"{name}.pth")
    overwritten(tmp_path / "b.pth", tmp_path / "c.pth", "data/0", at=64 * 4 * 7)
    found = compared(tmp_path / "a.pth", tmp_path / "c.pth")
    assert [row.key for row in found.rows if row.state is State.CHANGED] == ["row7"]
    assert all(row.damaged == ("B",) for row in found.rows)


def test_what_is_small_is_read_without_being_asked_for(tmp_path):
    small = torch.zeros(READ_BY_ITSELF // 4)
    for name, tensors in {
        "small": {"w": small},
        "tied": {"w": small, "again": small.view(2, -1)},
        "large": {"w": torch.zeros(READ_BY_ITSELF // 4 + 1)},
        "view": {"w": torch.zeros(READ_BY_ITSELF // 4 + 1)[:2]},
    }.items():
        torch.save(tensors, tmp_path / name)
    opened = {
        name: open_checkpoint(tmp_path / name).state_dict()
        for name in ("small", "tied", "large", "view")
    }
    assert is_read_by_itself(opened["small"], opened["small"])
    assert not is_read_by_itself(opened["small"], opened["large"])
    assert not is_read_by_itself(opened["view"])
    assert not is_read_by_itself(opened["tied"])
