"""Tensors in another dtype: the same values as far as it has them, or other ones."""

from pathlib import Path

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare import Comparison, State, compare

W = torch.arange(6.0)


def compared(folder: Path, a: torch.Tensor, b: torch.Tensor) -> Comparison:
    for name, tensor in (("a", a), ("b", b)):
        torch.save({"w": W, "x": tensor}, folder / f"{name}.pt")
    return compare(*(open_checkpoint(folder / f"{name}.pt").state_dict() for name in "ab"))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (torch.tensor([0.1, 1e-9, -3.0]), torch.float16),
        (torch.tensor([0.1, float("nan"), float("inf")]), torch.bfloat16),
        (torch.tensor([16_777_217, 5]), torch.float32),
        (torch.tensor([2.0, -3.0]), torch.int8),
        (torch.tensor([255, 0]), torch.uint8),
        (torch.tensor([True, False]), torch.uint8),
        (torch.tensor([1, 0], dtype=torch.uint8), torch.bool),
        (torch.tensor([True, False]), torch.float32),
        (torch.tensor([1 + 0j, 2 + 0j]), torch.float32),
        (torch.tensor([1 + 1j, 0.1 + 2j]), torch.complex32),
        (torch.tensor([0.5, 3.0]), torch.float8_e4m3fn),
        (torch.tensor([70_000, 1]), torch.uint32),
    ],
    ids=str,
)
@pytest.mark.parametrize("back", [False, True], ids=["there", "back"])
def test_values_that_the_dtype_has_are_the_same_weights(
    tmp_path: Path, a: torch.Tensor, b: torch.dtype, back: bool
) -> None:
    pair = (a.to(b), a) if back else (a, a.to(b))
    comparison = compared(tmp_path, *pair)
    row = comparison.rows[1]
    assert (row.state, row.equal_after_cast, row.lost) == (State.RECAST, True, "")
    assert comparison.sentence.startswith("The same weights in another dtype: 1 of 2 tensors")


@pytest.mark.parametrize(
    ("a", "b", "lost"),
    [
        (torch.tensor([-1, 2]), torch.uint8, "numbers outside of the range of uint8"),
        (torch.tensor([70_000]), torch.int16, "numbers outside of the range of int16"),
        (torch.tensor([300.0]), torch.int8, "no whole numbers in the range of int8"),
        (torch.tensor([2.7, -3.2]), torch.int64, "no whole numbers in the range of int64"),
        (torch.tensor([2.7, -3.2]), torch.int32, "no whole numbers in the range of int32"),
        (torch.tensor([1 + 1j, 2]), torch.float32, "imaginary parts, which float32 has not"),
        (torch.tensor([1 + 1j, 2]), torch.int64, "imaginary parts, which int64 has not"),
        (torch.tensor([70_000.0, 1.0]), torch.float16, "too large for float16"),
        (torch.tensor([70_000, 1]), torch.float16, "too large for float16"),
        (torch.tensor([1e39], dtype=torch.float64), torch.float32, "too large for float32"),
        (torch.tensor([2, 0], dtype=torch.uint8), torch.bool, "numbers other than 0 and 1"),
    ],
    ids=str,
)
def test_values_that_a_cast_loses_are_changes(
    tmp_path: Path, a: torch.Tensor, b: torch.dtype, lost: str
) -> None:
    comparison = compared(tmp_path, a, a.to(b))
    row = comparison.rows[1]
    assert (row.state, row.equal_after_cast) == (State.RECAST, False)
    assert row.lost.endswith(lost)
    assert row.note == f"other values: {row.lost}"
    assert comparison.sentence.startswith("Recast, and the values changed: 1 of 2 tensors recast ")
    assert "; in x, A has " in comparison.sentence


def test_other_values_in_another_dtype_are_not_equal(tmp_path: Path) -> None:
    row = compared(tmp_path, torch.tensor([1.0, 2.0]), torch.tensor([1, 3])).rows[1]
    assert (row.equal_after_cast, row.lost) == (False, "")
    assert row.note == "not equal after a cast to float32"
