"""What training libraries write with their own savers opens as the library would read it back."""

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from huggingface_hub import save_torch_state_dict
from lightning import LightningModule, Trainer
from timm.utils import CheckpointSaver, ModelEmaV3
from torch import nn

from core.checkpoint import Verdict, open_checkpoint
from core.tensors import read_tensor


class Classifier(LightningModule):
    def __init__(self, lr: float, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(nn.Linear(4, widths[0]), nn.ReLU(), nn.Linear(*widths))

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.hparams["lr"])


def batches() -> torch.utils.data.DataLoader[tuple[torch.Tensor, ...]]:
    data = torch.utils.data.TensorDataset(torch.randn(8, 4), torch.randint(0, 2, (8,)))
    return torch.utils.data.DataLoader(data, batch_size=4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lightning")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            max_epochs=2, accelerator="cpu", default_root_dir=folder, logger=False,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(Classifier(0.01, (6, 2)), batches())
        trainer.save_checkpoint(folder / "epoch=1.ckpt")
    return folder / "epoch=1.ckpt"


def assert_equal(path: Path, where: str, expected: Mapping[str, torch.Tensor]) -> None:
    found = open_checkpoint(path).state_dict(where)
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert torch.equal(read_tensor(found[key]), tensor), key


def test_lightnings_checkpoint_is_the_model_with_its_hyper_parameters(trained: Path) -> None:
    """Failure mode 17."""
    checkpoint = open_checkpoint(trained)
    loaded = torch.load(trained, weights_only=False)
    assert checkpoint.best == "state_dict"
    assert next(iter(checkpoint.state_dict())) == "model.0.weight"
    assert_equal(trained, "state_dict", loaded["state_dict"])
    assert checkpoint.metadata["hyper_parameters"] == {"lr": 0.01, "widths": [6, 2]}
    assert checkpoint.metadata["epoch"] == loaded["epoch"]
    assert checkpoint.metadata["global_step"] == loaded["global_step"]
    assert not [use for use in checkpoint.globals if use.verdict is Verdict.DANGEROUS]


def test_lightnings_optimizer_is_a_part_of_its_own(trained: Path) -> None:
    state = torch.load(trained, weights_only=False)["optimizer_states"][0]["state"]
    flat = {f"{i}.{name}": value for i, group in state.items() for name, value in group.items()}
    checkpoint = open_checkpoint(trained)
    assert checkpoint.roles["optimizer_states.0.state"] == "optimizer"
    assert_equal(trained, "optimizer_states.0.state", flat)


@pytest.fixture(scope="module")
def saved_by_timm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timm")
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    average = ModelEmaV3(model, decay=0.5)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    average.update(model)
    saver = CheckpointSaver(
        model,
        optimizer,
        args=argparse.Namespace(model="resnet50d", lr=0.1, mean=(0.5, 0.5, 0.5)),
        model_ema=average,
        checkpoint_dir=str(folder),
        recovery_dir=str(folder),
    )
    saver.save_checkpoint(3, metric=71.5)
    return folder / "model_best.pth.tar"


def test_timms_checkpoint_gives_raw_weights_and_their_average(saved_by_timm: Path) -> None:
    """Failure mode 18; its name ends in .tar, and it is none."""
    checkpoint = open_checkpoint(saved_by_timm)
    loaded = torch.load(saved_by_timm, weights_only=False)
    assert checkpoint.best == "state_dict"
    assert checkpoint.roles["state_dict_ema"] == "ema"
    assert checkpoint.roles["optimizer.state"] == "optimizer"
    for path in ("state_dict", "state_dict_ema"):
        assert_equal(saved_by_timm, path, loaded[path])


def test_timms_arguments_are_metadata(saved_by_timm: Path) -> None:
    metadata = open_checkpoint(saved_by_timm).metadata
    assert metadata["arch"] == "resnet50d"
    assert metadata["epoch"] == 3
    assert metadata["metric"] == 71.5
    arguments = metadata["args"]
    assert isinstance(arguments, Mapping)
    assert arguments["lr"] == 0.1
    assert arguments["mean"] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("safe", "name"), [(True, "model.safetensors"), (False, "pytorch_model.bin")]
)
def test_hugging_faces_single_file_has_every_weight(tmp_path: Path, safe: bool, name: str) -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16)
    save_torch_state_dict(model.state_dict(), tmp_path, safe_serialization=safe)
    checkpoint = open_checkpoint(tmp_path / name)
    assert set(checkpoint.state_dict()) == set(model.state_dict())
    for key, tensor in model.state_dict().items():
        assert torch.equal(read_tensor(checkpoint.state_dict()[key]), tensor)
