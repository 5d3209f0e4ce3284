"""A small network whose class is the quarter of a noisy image that a bright square is in."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from torch import nn

from core.architectures import Architecture, build, catalogue
from core.checkpoint import open_checkpoint
from core.load import LoadedModel, load_model

EDGE, SQUARE = 64, 20
QUARTERS = 4

SOURCE = """
import torch
from torch import nn


class Quarters(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.ReLU())
        self.places = nn.Parameter(torch.zeros(1, 4, 16, 16))
        self.gates = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
        self.head = nn.Linear(4, 4)

    def forward(self, images):
        gated = self.gates(self.patches(images) + self.places)
        return self.head(gated.mean((2, 3)))
"""
"""Channel q of `gates` is bright where the image is, in quarter q; the score is its mean."""


def square_images(number: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise with a bright square each; the quarters that they are in, and masks of the squares."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.3 * torch.randn(number, 3, EDGE, EDGE, generator=generator)
    quarters = torch.randint(QUARTERS, (number,), generator=generator)
    masks = torch.zeros(number, EDGE, EDGE, dtype=torch.bool)
    for index, quarter in enumerate(quarters.tolist()):
        within = torch.randint(EDGE // 2 - SQUARE, (2,), generator=generator)
        top, left = (within + EDGE // 2 * torch.tensor([quarter // 2, quarter % 2])).tolist()
        masks[index, top : top + SQUARE, left : left + SQUARE] = True
    return images + masks[:, None].float(), quarters, masks


@cache
def loaded_quarters() -> LoadedModel:
    """The network as Loupe loads it from a file."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        (Path(folder) / "square_networks.py").write_text(SOURCE)
        patch.syspath_prepend(folder)
        (architecture,) = catalogue(("square_networks:Quarters",))[:1]
        model = build(architecture)
        _set_weights(model)
        torch.save(model.state_dict(), Path(folder) / "model.pth")
        return loaded(Path(folder) / "model.pth", architecture)


def _set_weights(model: nn.Module) -> None:
    """Patches brighter than 0.4, each in its quarter."""
    places = torch.full((1, 4, 16, 16), -9.0)
    for quarter in range(QUARTERS):
        top, left = 8 * (quarter // 2), 8 * (quarter % 2)
        places[0, quarter, top : top + 8, left : left + 8] = 0
    weights = {
        "places": places,
        "patches.0.weight": torch.full((4, 3, 4, 4), 1 / 48),
        "patches.0.bias": torch.full((4,), -0.4),
        "gates.0.weight": torch.eye(4)[..., None, None],
        "gates.0.bias": torch.zeros(4),
        "head.weight": torch.eye(4),
        "head.bias": torch.zeros(4),
    }
    model.load_state_dict(weights)


def loaded(path: Path, architecture: Architecture, **options: str) -> LoadedModel:
    """The model of a file that fits as it is."""
    return load_model(open_checkpoint(path).state_dict(), architecture, **options)
