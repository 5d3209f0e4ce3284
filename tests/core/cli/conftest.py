"""A file that several commands are tried on."""

from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18


@pytest.fixture(scope="session")
def training_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 10-class resnet18, saved from DataParallel in a training checkpoint."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("cli") / "run.pth"
    model = torch.nn.DataParallel(resnet18(num_classes=10))
    torch.save({"epoch": 7, "state_dict": model.state_dict(), "note": "ü"}, path)
    return path
