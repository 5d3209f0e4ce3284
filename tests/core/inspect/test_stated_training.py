"""What a file states of its training."""

from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from core.checkpoint import Checkpoint, open_checkpoint
from core.inspect import StatedNumber, optimizer_words, stated_metrics, stated_step
from core.server import SAMPLES


def opened(path: Path, **saved: object) -> Checkpoint:
    torch.save({"state_dict": {"w": torch.ones(2)}, **saved}, path)
    return open_checkpoint(path)


@pytest.mark.parametrize(
    ("metadata", "step"),
    [
        ({"epoch": 0}, StatedNumber("epoch", "0")),
        ({"global_step": 7, "epoch": 2}, StatedNumber("epoch", "2")),
        ({"global_step": 7}, StatedNumber("global_step", "7")),
        ({"meta": {"epoch": 12, "iter": 900}}, StatedNumber("epoch", "12")),
        ({"epoch": -1}, None),
        ({"epoch": True}, None),
        ({"hyper_parameters": {"epoch": 100}}, None),
        ({}, None),
    ],
)
def test_the_epoch_is_where_trainers_write_it(
    metadata: dict[str, object], step: StatedNumber | None
) -> None:
    assert stated_step(metadata) == step


def test_metrics_are_told_under_the_files_own_names() -> None:
    metadata = {"epoch": 3, "best_acc1": 76.13, "val_loss": 0.25, "metrics": {"mIoU": 0.5}}
    assert stated_metrics(metadata) == (
        StatedNumber("best_acc1", "76.13"),
        StatedNumber("val_loss", "0.25"),
        StatedNumber("mIoU", "0.5"),
    )


def test_options_and_texts_are_no_metrics() -> None:
    metadata = {
        "hyper_parameters": {"loss": 0.1},
        "loss": "cross entropy",
        "loss_weight": 0.5,
        "accuracy": None,
        "precision": True,
    }
    assert stated_metrics(metadata) == ()


def test_the_optimizer_is_told_by_its_rates_and_the_tensors_of_its_state(tmp_path: Path) -> None:
    model = resnet18(num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    before = opened(tmp_path / "a.pth", optimizer=optimizer.state_dict())
    assert optimizer_words(before) == "lr 0.1, no tensors"
    model(torch.ones(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    after = opened(tmp_path / "b.pth", optimizer=optimizer.state_dict())
    assert optimizer_words(after) == "lr 0.1, 62 tensors, 44.7\u202fMB"


def test_an_optimizer_of_lightning_is_found_in_its_list(tmp_path: Path) -> None:
    states = [torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=1e-3).state_dict()]
    file = opened(tmp_path / "a.ckpt", optimizer_states=states)
    assert optimizer_words(file) == "lr 0.001, no tensors"


def test_a_file_without_an_optimizer_has_no_words_for_one(tmp_path: Path) -> None:
    assert optimizer_words(opened(tmp_path / "a.pth", lr=0.1)) == ""


def test_groups_and_their_rates_are_counted() -> None:
    words = optimizer_words(open_checkpoint(SAMPLES["early"].path))
    assert words == "lr 0.199 and 0.0199, 2 groups, 114 tensors, 72.8\u202fkB"
