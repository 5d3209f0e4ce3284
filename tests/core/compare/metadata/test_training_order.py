"""Which of two files is the later one of a training, by what both state."""

import pytest
import torch

from core.checkpoint import open_checkpoint
from core.compare.metadata import training_order

CASES = {
    "epochs": ({"epoch": 2}, {"epoch": 40}, 1),
    "epochs back": ({"epoch": 40}, {"epoch": 2}, -1),
    "steps": ({"step": 10}, {"step": 20}, 1),
    "steps in one epoch": ({"epoch": 1, "global_step": 900}, {"epoch": 1, "global_step": 10}, -1),
    "equal epochs": ({"epoch": 2}, {"epoch": 2}, 0),
    "one epoch": ({"epoch": 2}, {}, 0),
    "none": ({}, {}, 0),
    "steps that began anew": ({"epoch": 1, "step": 500}, {"epoch": 2, "step": 3}, 0),
    "different names": ({"epoch": 2}, {"step": 3}, 0),
}


@pytest.mark.parametrize(("a", "b", "order"), CASES.values(), ids=CASES)
def test_the_later_file_is_the_one_that_says_so(tmp_path, a, b, order):
    opened = []
    for name, stated in (("a", a), ("b", b)):
        torch.save({"w": torch.ones(3), **stated}, tmp_path / f"{name}.pth")
        opened.append(open_checkpoint(tmp_path / f"{name}.pth"))
    assert training_order(*opened) == order
