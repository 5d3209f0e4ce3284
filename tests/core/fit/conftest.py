"""What the tests of fitting share: a state_dict as it is in a file."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.checkpoint import StateDict, open_checkpoint


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[object], StateDict]:
    def save(weights: object) -> StateDict:
        torch.save(weights, tmp_path / "file.pth")
        return open_checkpoint(tmp_path / "file.pth").state_dict()

    return save
