"""Networks that really train, for a second each: what their checkpoints look like afterwards."""

import copy
from collections.abc import Callable, Iterable
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv(x)))


class ConvNet(nn.Module):
    """Three convolutions with BatchNorm, and a head: 17 tensors."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = Block(1, 16, 1)
        self.layer1 = Block(16, 32, 2)
        self.layer2 = Block(32, 32, 2)
        self.fc = nn.Linear(128, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer2(self.layer1(self.stem(x))).flatten(1))


class Reader(nn.Module):
    """A transformer that reads a digit row by row."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.position = nn.Parameter(torch.randn(8, 32) * 0.02)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.encoder(self.embed(x[:, 0]) + self.position).mean(1)))


NETWORKS: dict[str, type[ConvNet] | type[Reader]] = {"conv": ConvNet, "transformer": Reader}


@cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """1 797 pictures of 8 × 8, with their classes."""
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32) / 8 - 1
    return images[:, None], torch.tensor(found.target)


def train(
    model: nn.Module,
    steps: int,
    rate: float = 1e-3,
    *,
    frozen: Iterable[nn.Module] = (),
    classes: int = 10,
    after: Callable[[nn.Module], None] | None = None,
) -> torch.optim.Optimizer:
    """Train in place with Adam, the `frozen` modules in eval mode and left out."""
    images, labels = digits()
    taken = torch.arange(len(labels))[labels < classes]
    shuffle = torch.Generator().manual_seed(7)
    model.train()
    for module in frozen:
        module.eval().requires_grad_(False)
    chosen = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(chosen, rate)
    for _ in range(steps):
        batch = taken[torch.randint(0, len(taken), (128,), generator=shuffle)]
        loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if after is not None:
            after(model)
    return optimizer


@cache
def _trained(network: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = NETWORKS[network]()
    train(model, 100, 3e-3)
    return model.eval()


def trained(network: str = "conv", seed: int = 0) -> nn.Module:
    """A network after 100 steps: a copy of its own for each caller, the same for the same seed."""
    return copy.deepcopy(_trained(network, seed))


def accuracy(model: nn.Module) -> float:
    """The share of the digits that it tells."""
    images, labels = digits()
    with torch.no_grad():
        return float((model.eval()(images).argmax(1) == labels).float().mean())


def body(model: nn.Module) -> list[nn.Module]:
    """All of a network but its head."""
    return list(model.children())[:-1]


def trained_head(network: str) -> nn.Module:
    """The head alone trained further."""
    model = trained(network)
    if isinstance(model, Reader):
        model.position.requires_grad_(False)
    train(model, 30, frozen=body(model))
    return model


def new_head(network: str, classes: int) -> nn.Module:
    """A body as it was under a head of its own, trained alone on so many classes."""
    torch.manual_seed(5)
    model = trained(network)
    if isinstance(model, Reader):
        model.position.requires_grad_(False)
    name, old = list(model.named_children())[-1]
    setattr(model, name, nn.Linear(old.in_features, classes))
    train(model, 30, frozen=body(model), classes=classes)
    return model


def trained_further(network: str, steps: int = 40, rate: float = 1e-3) -> nn.Module:
    """All parameters trained further."""
    model = trained(network)
    train(model, steps, rate)
    return model


def trained_upper_layers() -> nn.Module:
    """Of the convolutional network, the last block and the head trained further."""
    model = trained("conv")
    train(model, 40, frozen=[model.stem, model.layer1])
    return model


def recounted(batches: int = 5) -> nn.Module:
    """Only forward passes in train mode."""
    model = trained("conv").train()
    images, _ = digits()
    with torch.no_grad():
        for index in range(batches):
            model(images[index * 100 : (index + 1) * 100])
    return model


def averaged(network: str) -> tuple[nn.Module, AveragedModel]:
    """A model trained further, and the average that was kept of its steps."""
    model = trained(network)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    train(model, 40, 1e-4, after=average.update_parameters)
    return model, average


def diverged() -> nn.Module:
    """The last encoder layer and what follows, after a rate that no network survives."""
    model = trained("transformer")
    model.position.requires_grad_(False)
    train(model, 2, 1e37, frozen=[model.embed, model.encoder.layers[0]])
    return model
