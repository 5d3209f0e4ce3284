"""Which files plain PyTorch cannot read without running code."""

from pathlib import Path

import torch
from torchvision.models import shufflenet_v2_x0_5

from core.checkpoint import open_checkpoint
from core.recipe import in_pickled_object


def test_weights_in_a_pickled_model_are_told_from_weights_in_a_dict(tmp_path: Path):
    model = shufflenet_v2_x0_5()
    torch.save({"state.dict": model.state_dict(), "whole": model}, tmp_path / "both.pth")
    checkpoint = open_checkpoint(tmp_path / "both.pth")
    inside = {path: in_pickled_object(checkpoint.tree, path) for path in checkpoint.state_dicts}
    assert inside == {"state.dict": False, "whole": True}


def test_a_file_that_is_a_model_is_a_pickled_object(tmp_path: Path):
    torch.save(shufflenet_v2_x0_5(), tmp_path / "whole.pth")
    checkpoint = open_checkpoint(tmp_path / "whole.pth")
    assert in_pickled_object(checkpoint.tree, checkpoint.best)
