"""The pace of `loupe evaluate` against a loop over torch's DataLoader, on the same images.

Run from the repository's root with `python -m benchmarks.evaluate`. Both read JPEG files, prepare
them in the same way and run the same model. The loop counts right answers alone, with two workers.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import get_model_weights

from benchmarks.predict import load
from core.architectures import Architecture
from core.evaluate import evaluate, labelled_images, map_classes
from core.inputs import default_preprocessing
from core.load import LoadedModel
from core.predict import choose_labels

IMAGES, BATCH, WORKERS, ROUNDS = 192, 32, 2, 3


def main() -> None:
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_images(folder)
        for name in ("shufflenet_v2_x0_5", "resnet18"):
            compare(folder, name)


def write_images(folder: Path, images: int = IMAGES) -> None:
    """JPEG files of 500 × 375 pixels, smooth as photographs are, in folders of two classes."""
    rng = np.random.default_rng(0)
    for place, label in enumerate(choose_labels(1_000).names[:2]):
        (folder / label).mkdir(parents=True)
        for index in range(place, images, 2):
            coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3)).astype(np.uint8))
            coarse.resize((500, 375), Image.Resampling.BICUBIC).save(
                folder / label / f"{index:04}.jpg", quality=90
            )


def compare(folder: Path, name: str) -> None:
    """Print the pace of both on one model, each time the best of some rounds, taken in turn."""
    architecture = Architecture("torchvision", name)
    loaded = load(architecture)
    ours: list[float] = []
    plain: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        counted = of_loupe(loaded, folder)
        between = time.perf_counter()
        expected = of_the_loop(loaded, folder)
        plain.append(time.perf_counter() - between)
        ours.append(between - started)
        assert counted == expected, (counted, expected)
    print(
        f"{name:20} loop {IMAGES / min(plain):6.1f} images/s, Loupe {IMAGES / min(ours):6.1f}, "
        f"ratio of the paces {min(plain) / min(ours):.2f}",
        flush=True,
    )


def of_loupe(loaded: LoadedModel, folder: Path) -> int:
    """The right answers that Loupe counts."""
    with labelled_images(folder) as found:
        meant = map_classes({each.label for each in found.images}, choose_labels(1_000))
        preprocessing = default_preprocessing(loaded.architecture)
        evaluation = evaluate(loaded, found.images, meant, preprocessing, batch=BATCH)
    return evaluation.top1.number


def of_the_loop(loaded: LoadedModel, folder: Path) -> int:
    """The right answers that plain torch and torchvision count."""
    names = [*choose_labels(1_000).names]
    transform = get_model_weights(loaded.architecture.name).DEFAULT.transforms()
    images = ImageFolder(str(folder), transform)
    classes = torch.tensor([names.index(each) for each in images.classes])
    right = 0
    with torch.inference_mode():
        for inputs, targets in DataLoader(images, BATCH, num_workers=WORKERS):
            right += int((loaded.model(inputs).argmax(1) == classes[targets]).sum())
    return right


if __name__ == "__main__":
    main()
