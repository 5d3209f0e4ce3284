"""What a tensor is beside strided elements, in words and in parts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet34

from core.checkpoint import Cast, open_checkpoint
from core.checkpoint.layouts import (
    layout,
    lies_in_order,
    numbers_note,
    parts,
    parts_bytes,
    stored_values,
)
from tests.core.odd_tensors import ODD, in_pieces

LAYOUTS = {
    "per_tensor": ("quantized", 1),
    "per_channel": ("quantized", 3),
    "columns": ("quantized", 3),
    "coo": ("sparse_coo", 2),
    "csr": ("sparse_csr", 3),
    "bsr": ("sparse_bsr", 3),
    "nested": ("nested", 4),
}


@pytest.mark.parametrize("name", ODD)
def test_each_layout_has_its_word_and_its_parts_with_the_values_first(
    tmp_path: Path, name: str
) -> None:
    torch.save({name: ODD[name]}, tmp_path / "odd.pth")
    entry = open_checkpoint(tmp_path / "odd.pth").state_dict()[name]
    assert (layout(entry), len(parts(entry))) == LAYOUTS[name]
    assert parts(entry)[0] == stored_values(entry)
    assert parts_bytes(entry) == entry.nbytes <= sum(each.nbytes for each in entry.records)
    assert numbers_note(entry)


def test_an_ordinary_tensor_and_one_in_pieces_need_no_word_on_their_numbers(
    tmp_path: Path,
) -> None:
    torch.save({"top": torch.ones(3, 4), "rest": torch.ones(3, 4)}, tmp_path / "a.pth")
    found = open_checkpoint(tmp_path / "a.pth").state_dict()
    whole = in_pieces("w", {(0, 0): found["top"], (3, 0): found["rest"]}, (6, 4))
    assert (layout(found["top"]), layout(whole)) == ("strided", "2 pieces")
    assert [part.shape for part in parts(whole)] == [(3, 4), (3, 4)]
    assert parts_bytes(whole) == whole.nbytes == 96
    assert numbers_note(whole) is numbers_note(found["top"]) is None


def test_elements_lie_in_order_where_their_bytes_can_be_read_as_they_follow_one_another(
    tmp_path: Path,
) -> None:
    wide = torch.arange(12.0).view(3, 4)
    torch.save({"plain": wide.clone(), "turned": wide.t(), "part": wide[1:]}, tmp_path / "a.pth")
    found = open_checkpoint(tmp_path / "a.pth").state_dict()
    assert [lies_in_order(found[key]) for key in ("plain", "turned", "part")] == [True, False, True]
    plain = found["plain"]
    assert plain.record is not None
    swapped = replace(plain, record=replace(plain.record, big_endian=True))
    cast = replace(plain, transforms=(Cast("float16", "float32"),))
    for entry in (swapped, cast):
        assert lies_in_order(entry)
        assert not lies_in_order(entry, unchanged=True)
    assert lies_in_order(plain, unchanged=True)
    assert not lies_in_order(replace(plain, record=None))


def test_a_teacher_is_opened_rather_than_its_student(tmp_path: Path) -> None:
    def parts() -> dict[str, torch.Tensor]:
        return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).state_dict()

    student = parts() | {"predictor.weight": torch.ones(2, 2)}
    torch.save({"student": student, "teacher": parts()}, tmp_path / "a.pth")
    assert open_checkpoint(tmp_path / "a.pth").best == "teacher"
    # One of another make is what the student learned from, and not its average.
    large = nn.Linear(9, 9).state_dict()
    torch.save({"student": student, "teacher": large}, tmp_path / "b.pth")
    assert open_checkpoint(tmp_path / "b.pth").best == "student"


@pytest.mark.parametrize("headless", ["student", "teacher"])
def test_a_teacher_is_opened_whichever_of_the_two_has_the_head(
    tmp_path: Path, headless: str
) -> None:
    whole = resnet18(num_classes=7)
    trunk = {key: value for key, value in whole.state_dict().items() if not key.startswith("fc.")}
    parameters = dict(whole.named_parameters())
    pair = {"student": whole.state_dict(), "teacher": parameters, headless: trunk}
    torch.save(pair, tmp_path / "a.pth")
    assert open_checkpoint(tmp_path / "a.pth").best == "teacher"


def test_a_teacher_with_more_layers_is_what_the_student_learned_from(tmp_path: Path) -> None:
    pair = {"student": resnet18().state_dict(), "teacher": resnet34().state_dict()}
    torch.save(pair, tmp_path / "a.pth")
    assert open_checkpoint(tmp_path / "a.pth").best == "student"
