"""One sentence on what reading every byte gave."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from core.checkpoint import open_checkpoint
from core.inspect.verification import verification_summary, verify


def test_a_sound_file_is_said_to_be_sound(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "a.pth")
    summary = verification_summary(verify(open_checkpoint(tmp_path / "a.pth")))
    assert summary.startswith("All ")
    assert "are sound" in summary


def test_a_format_without_checksums_promises_less(tmp_path: Path) -> None:
    save_file({"w": torch.ones(3)}, tmp_path / "a.safetensors")
    summary = verification_summary(verify(open_checkpoint(tmp_path / "a.safetensors")))
    assert "keeps no checksums" in summary


def test_a_flipped_bit_is_said_with_what_to_do(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "a.pth")
    data = bytearray((tmp_path / "a.pth").read_bytes())
    data[data.index(torch.ones(3).numpy().tobytes())] ^= 1
    (tmp_path / "a.pth").write_bytes(data)
    found = verify(open_checkpoint(tmp_path / "a.pth"))
    assert verification_summary(found).startswith("1 of ")
    assert "is damaged: get the file again" in verification_summary(found)
    assert found.damaged[0].keys == ("w",)
