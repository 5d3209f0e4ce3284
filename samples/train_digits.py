"""Train the sample: a small ShuffleNet on scikit-learn's handwritten digits, on the CPU.

Run from the repository's root with `python samples/train_digits.py`. Writes beside itself
digits_early.pth and digits_final.pth, two training checkpoints of one run, and images/, eight
pictures that the training never saw.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torchvision.models import shufflenet_v2_x0_5
from torchvision.transforms import v2

HERE = Path(__file__).parent
SEED = 0
EPOCHS, EARLY, BATCH = 40, 2, 64
TEST_PICTURES = 360
CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PREPROCESSING = {
    "resize": 64,
    "crop": 64,
    "interpolation": "bilinear",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}


def main() -> None:
    started = time.perf_counter()
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)

    digits = load_digits()
    pictures = [picture(pixels) for pixels in digits.images]
    inputs = torch.stack([to_input(image) for image in pictures])
    labels = torch.from_numpy(digits.target)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=TEST_PICTURES, random_state=SEED, stratify=digits.target
    )

    # DataParallel gives the keys their `module.`, as in most checkpoints that people share.
    model = nn.DataParallel(shufflenet_v2_x0_5(num_classes=len(CLASSES)))
    optimizer = build_optimizer(model)
    steps = EPOCHS * (len(train) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    augment = v2.RandomAffine(degrees=10, translate=(0.08, 0.08), scale=(0.9, 1.1), fill=1.0)

    guesses = {}
    for epoch in range(1, EPOCHS + 1):
        loss = train_epoch(
            model,
            optimizer,
            schedule,
            augment=augment,
            inputs=inputs[train],
            labels=labels[train],
        )
        guess = predict(model, inputs[test])
        accuracy = 100 * (guess == labels[test]).double().mean().item()
        print(f"epoch {epoch:2}  loss {loss:.3f}  test accuracy {accuracy:.2f} %")
        if epoch in (EARLY, EPOCHS):
            name = "digits_early.pth" if epoch == EARLY else "digits_final.pth"
            save(HERE / name, model, optimizer, epoch, accuracy)
            guesses[epoch] = guess

    folder = HERE / "images"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("digit_*.png"):
        old.unlink()
    for name, index in choose(labels[test], guesses[EARLY], guesses[EPOCHS]):
        pictures[test[index]].save(folder / name, optimize=True)
        early, final = (CLASSES[int(guesses[epoch][index])] for epoch in (EARLY, EPOCHS))
        print(f"{name}: early says {early}, final says {final}")

    print(f"{len(train)} pictures to train with, {len(test)} held out")
    print(f"final test accuracy {accuracy:.2f} %, {time.perf_counter() - started:.0f} s in all")


def picture(pixels: np.ndarray) -> Image.Image:
    """One digit, 8 × 8 values from 0 to 16, as dark ink on white paper of 128 × 128 pixels."""
    ink = Image.fromarray((255 - pixels * (255 / 16)).round().astype(np.uint8))
    return ink.resize((128, 128), Image.Resampling.BICUBIC)


def to_input(image: Image.Image) -> torch.Tensor:
    """A picture as the network gets it: float32, 3 × 64 × 64, from -1 (ink) to 1 (paper)."""
    transform = v2.Compose(
        [
            v2.Resize(PREPROCESSING["resize"], v2.InterpolationMode.BILINEAR, antialias=True),
            v2.CenterCrop(PREPROCESSING["crop"]),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(PREPROCESSING["mean"], PREPROCESSING["std"]),
        ]
    )
    return transform(image.convert("RGB"))


def build_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """SGD that keeps momentum for norms and head only, so that a checkpoint stays small."""
    small = [p for p in model.parameters() if p.ndim < 4]
    convolutions = [p for p in model.parameters() if p.ndim == 4]
    return torch.optim.SGD(
        [
            {"params": convolutions, "momentum": 0.0, "weight_decay": 1e-3},
            {"params": small, "momentum": 0.9, "weight_decay": 0.0, "lr": 0.02},
        ],
        lr=0.2,
    )


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    *,
    augment: v2.Transform,
    inputs: torch.Tensor,
    labels: torch.Tensor,
) -> float:
    """One pass over the training set; returns the mean loss."""
    model.train()
    losses = []
    order = torch.randperm(len(inputs))
    for start in range(0, len(inputs) - BATCH + 1, BATCH):
        batch = order[start : start + BATCH]
        seen = torch.stack([augment(inputs[index]) for index in batch])
        loss = F.cross_entropy(model(seen), labels[batch], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


@torch.inference_mode()
def predict(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """The class that the model gives to each input."""
    model.eval()
    return torch.cat([model(part).argmax(1) for part in inputs.split(120)])


def save(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, accuracy: float
) -> None:
    torch.save(
        {
            "epoch": epoch,
            "arch": "shufflenet_v2_x0_5",
            "state_dict": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "classes": CLASSES,
            "accuracy": round(accuracy, 2),
            "preprocessing": PREPROCESSING,
        },
        path,
    )
    print(f"wrote {path.name}, {path.stat().st_size / 1e6:.2f} MB")


def choose(
    labels: torch.Tensor, early: torch.Tensor, final: torch.Tensor
) -> Sequence[tuple[str, int]]:
    """The first held-out pictures: three that both epochs read, four that only the final one
    reads, and one that neither does (or one more of the second kind), as (file name, index)."""
    read = (early == labels) & (final == labels)
    learned = (early != labels) & (final == labels)
    missed = (early != labels) & (final != labels)
    chosen = [
        *read.nonzero().flatten().tolist()[:3],
        *learned.nonzero().flatten().tolist()[:4],
        *missed.nonzero().flatten().tolist()[:1],
    ]
    names: dict[str, int] = {}
    for index in chosen + learned.nonzero().flatten().tolist()[4 : 4 + 8 - len(chosen)]:
        letter = next(c for c in "abcdefgh" if f"digit_{int(labels[index])}_{c}.png" not in names)
        names[f"digit_{int(labels[index])}_{letter}.png"] = index
    return tuple(names.items())


if __name__ == "__main__":
    main()
