"""Bytes by section, and the slim export that leaves the optimizer out (FIELD 19)."""

from pathlib import Path

import pytest
import torch
from torch import nn

from core.checkpoint import Checkpoint, open_checkpoint
from core.export import export_state_dict
from core.inspect.storage import Section, sections


@pytest.fixture
def training(tmp_path: Path) -> Checkpoint:
    """A model, an EMA of it and Adam's two moments: about four times the model's bytes."""
    model = nn.Linear(300, 100)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 300)).sum().backward()
    optimizer.step()
    saved = {
        "model": model.state_dict(),
        "ema": {key: tensor.clone() for key, tensor in model.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
    }
    torch.save(saved, tmp_path / "training.pth")
    return open_checkpoint(tmp_path / "training.pth")


MODEL = 4 * (300 * 100 + 100)


def test_the_optimizers_share_of_the_file_is_told(training: Checkpoint) -> None:
    assert sections(training) == (
        Section("optimizer", 6, 2 * MODEL + 8, 2 * MODEL + 8),
        Section("model", 2, MODEL, MODEL),
        Section("ema", 2, MODEL, MODEL),
    )


def test_a_storage_that_two_sections_share_is_counted_once(tmp_path: Path) -> None:
    weights = nn.Linear(30, 10).state_dict()
    torch.save({"model": weights, "ema": weights}, tmp_path / "shared.pth")
    model, ema = sections(open_checkpoint(tmp_path / "shared.pth"))
    assert (model.role, model.stored) == ("model", model.nbytes)
    assert (ema.role, ema.stored, ema.nbytes) == ("ema", 0, model.nbytes)


def test_a_small_view_counts_with_the_storage_that_it_keeps(tmp_path: Path) -> None:
    """FIELD 20: logical against stored bytes."""
    torch.save({"w": torch.zeros(1000)[:10]}, tmp_path / "view.pth")
    (only,) = sections(open_checkpoint(tmp_path / "view.pth"))
    assert (only.nbytes, only.stored) == (40, 4000)


def test_a_slim_export_holds_the_chosen_state_dict_and_nothing_else(
    training: Checkpoint, tmp_path: Path
) -> None:
    export_state_dict(training.state_dict("model"), tmp_path / "slim.pth", "pth")
    slim = torch.load(tmp_path / "slim.pth", weights_only=True)
    assert list(slim) == ["weight", "bias"]
    assert (tmp_path / "slim.pth").stat().st_size < MODEL + 4096 < training.size / 3.5
    (only,) = sections(open_checkpoint(tmp_path / "slim.pth"))
    assert only.stored == MODEL
