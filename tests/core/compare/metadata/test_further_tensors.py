"""The state_dicts besides the compared one are compared too, and counted in a sentence."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.metadata.further_tensors import OtherTensors, other_tensors
from tests.core.cli.process import loupe
from tests.core.compare.damaged_files import forged, overwritten

Tensors = Mapping[str, torch.Tensor]


def averages(tmp_path: Path, a: Tensors, b: Tensors, *, zipped: bool = True) -> OtherTensors:
    """What is said of the averages in two files; only a zip has checksums."""
    for name, ema in (("a", a), ("b", b)):
        torch.save(
            {"model": {"w": torch.ones(3)}, "ema": dict(ema)},
            tmp_path / name,
            _use_new_zipfile_serialization=zipped,
        )
    (found,) = other_tensors(open_checkpoint(tmp_path / "a"), open_checkpoint(tmp_path / "b"))
    assert found.path == "ema"
    return found


ONES, ZEROS = torch.ones(2), torch.zeros(2)


@pytest.mark.parametrize("zipped", [True, False], ids=["checksums", "none"])
@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        ({"x": ONES, "y": ZEROS}, {"x": ONES, "y": ZEROS}, "all 2 tensors are the same"),
        ({"x": ONES, "y": ZEROS}, {"x": ONES, "y": ONES}, "1 of 2 tensors changed"),
        ({"x": ONES, "y": ZEROS}, {"x": ZEROS}, "the one tensor changed, 1 only in A"),
        ({"x": ONES}, {"x": ONES, "y": ONES}, "the one tensor is the same, 1 only in B"),
        ({"x": ONES}, {"y": ONES, "z": ONES}, "1 tensor only in A, 2 tensors only in B"),
    ],
)
def test_its_tensors_are_counted(
    tmp_path: Path, a: Tensors, b: Tensors, sentence: str, zipped: bool
) -> None:
    assert averages(tmp_path, a, b, zipped=zipped).sentence == sentence


def test_what_is_too_large_to_read_is_said_to_be_not_compared(tmp_path: Path) -> None:
    large = torch.zeros((8 << 20) // 4 + 1)
    alone = averages(tmp_path, {"x": large}, {"x": large}, zipped=False)
    assert "not compared: the files have no checksums of" in alone.sentence
    beside = averages(tmp_path, {"x": large, "y": ONES}, {"x": large, "y": ZEROS}, zipped=False)
    assert beside.sentence == "1 of 2 tensors changed, 1 not compared"
    assert averages(tmp_path, {"x": large}, {"x": large}).same == 1


def test_what_is_too_large_to_read_is_the_same_by_checksum(tmp_path: Path) -> None:
    large = torch.zeros((8 << 20) // 4 + 1)
    alone = averages(tmp_path, {"x": large}, {"x": large})
    assert alone.sentence == "the one tensor is the same by checksum"
    beside = averages(tmp_path, {"x": large, "y": ONES}, {"x": large, "y": ZEROS})
    assert beside.sentence == "1 of 2 tensors changed, 1 the same by checksum"


def test_a_checksum_that_does_not_hold_is_told_by_tensor(tmp_path: Path) -> None:
    file = {"model": {"w": torch.ones(3)}, "ema": {"x": torch.ones(40), "y": torch.ones(40)}}
    torch.save(file, tmp_path / "a")
    overwritten(tmp_path / "a", tmp_path / "b", "data/2")
    (found,) = other_tensors(open_checkpoint(tmp_path / "a"), open_checkpoint(tmp_path / "b"))
    assert found.sentence == "1 of 2 tensors changed; damaged, by their stored checksums: y in B"


def test_damage_in_another_state_dict_leads_and_sets_the_status(tmp_path: Path) -> None:
    file = {"model": {"w": torch.ones(3)}, "ema": {"x": torch.ones(40), "y": torch.ones(40)}}
    torch.save(file, tmp_path / "a")
    overwritten(tmp_path / "a", tmp_path / "b", "data/2")

    for options in ((), ("--verify",)):
        told = loupe("compare", tmp_path / "a", tmp_path / "b", *options)

        assert told.returncode == 1
        assert told.stdout.startswith("Damaged besides the compared tensors: ema.y in B does not")


def test_a_scalar_with_a_forged_checksum_is_read(tmp_path: Path) -> None:
    """Two pairs of numbers with the same checksums: each is said with its own values."""
    value = torch.tensor([2.5], dtype=torch.float64)
    raw = torch.tensor([7.5], dtype=torch.float64).numpy().tobytes()
    other = torch.frombuffer(
        bytearray(forged(raw, 0, zlib.crc32(value.numpy().tobytes()))), dtype=torch.float64
    )
    a = {"x.step": value, "y.step": other}
    b = {"x.step": value + 1, "y.step": value + 1}
    (sentence,) = averages(tmp_path, a, b).scalars
    assert sentence == f"step 2.5 to {float(other):.6g} → 3.5 in all 2 tensors"


@pytest.mark.parametrize("zipped", [True, False], ids=["checksums", "none"])
def test_a_scalar_that_changed_is_said_with_both_numbers(tmp_path: Path, zipped: bool) -> None:
    a = {"decay": torch.tensor(0.5), "updates": torch.tensor(100), "layer.updates": ONES[:1]}
    b = {"decay": torch.tensor(0.25), "updates": torch.tensor(2500), "layer.updates": ONES[:1]}
    assert averages(tmp_path, a, b, zipped=zipped).scalars == (
        "decay 0.5 → 0.25 in its one tensor",
        "updates 100 → 2\u202f500 in 1 of 2 tensors",
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (torch.tensor(1 + 2j), torch.tensor(2 + 2j)),
        (torch.tensor(torch.nan), torch.tensor(1.0)),
        (torch.tensor([1.0]).to_sparse(), torch.tensor([2.0]).to_sparse()),
    ],
    ids=["complex", "nan", "sparse"],
)
def test_a_scalar_that_is_no_finite_number_gets_no_sentence(
    tmp_path: Path, a: torch.Tensor, b: torch.Tensor
) -> None:
    found = averages(tmp_path, {"decay": a}, {"decay": b})
    assert (found.changed, found.scalars) == (1, ())
