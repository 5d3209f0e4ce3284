"""Classifiers of ten classes that are run in no time, and digits in folders of their classes."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from core.architectures import build, catalogue
from core.checkpoint import open_checkpoint
from core.inputs import IMAGENET
from core.load import LoadedModel, load_model
from core.predict import Labels
from core.server import sample_images

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PREPROCESSING = IMAGENET
LABELS = Labels(DIGITS, "the sample")

SOURCE = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(48, 10)

    def forward(self, images):
        return self.head(nn.functional.adaptive_avg_pool2d(images, 4).flatten(1))


class Softmaxed(Small):
    def forward(self, images):
        return super().forward(images).softmax(1)


class ThreeAtMost(Small):
    def forward(self, images):
        if len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(images)


class ThreeAtMostOnCpu(Small):
    def forward(self, images):
        if len(images) > 3:
            return torch.empty(1 << 60, dtype=torch.uint8)
        return super().forward(images)


class NoRoomAtAll(Small):
    def forward(self, images):
        raise torch.OutOfMemoryError("CUDA out of memory.")


class NanWhereDark(Small):
    def forward(self, images):
        rows = super().forward(images)
        rows[images.mean((1, 2, 3)) < images.mean()] = float("nan")
        return rows


class Sigmoids(Small):
    def forward(self, images):
        return super().forward(images).sigmoid()


class Embedding(Small):
    def forward(self, images):
        return {"image_embeds": super().forward(images)}


class OneScore(Small):
    def forward(self, images):
        return super().forward(images)[:, :1]


class LateLogits(Small):
    '''Sums to 1 for the first image that it is given, and is logits for others.'''

    def forward(self, images):
        rows = super().forward(images)
        self.seen = getattr(self, "seen", 0) + 1
        return rows.softmax(1) if self.seen == 1 else rows
"""


@cache
def small_classifier(name: str = "Small", seed: int = 0) -> LoadedModel:
    """The model of that name with random weights, as Loupe loads it from a file."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        (Path(folder) / "small_classifiers_source.py").write_text(SOURCE)
        patch.syspath_prepend(folder)
        (architecture,) = catalogue((f"small_classifiers_source:{name}",))[:1]
        torch.manual_seed(seed)
        model = build(architecture)
        torch.manual_seed(seed)
        weights = {key: torch.randn(value.shape) for key, value in model.state_dict().items()}
        torch.save(weights, Path(folder) / "model.pth")
        return load_model(open_checkpoint(Path(folder) / "model.pth").state_dict(), architecture)


def digit_folders(folder: Path, copies: int = 1) -> Path:
    """The sample's images, each in a folder that is called as its digit."""
    for path in sample_images():
        into = folder / DIGITS[int(path.name[6])]
        into.mkdir(parents=True, exist_ok=True)
        for copy in range(copies):
            (into / f"{copy}_{path.name}").write_bytes(path.read_bytes())
    return folder
