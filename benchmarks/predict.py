"""What predicting costs over the model's own forward: Loupe's predict against a bare loop.

Run from the repository's root with `python -m benchmarks.predict`. The bare loop is given
tensors that are ready; Loupe is given pictures, and resizes, crops and normalises them too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torchvision.models import get_model

from core.architectures import Architecture
from core.checkpoint import open_checkpoint
from core.inputs import default_preprocessing, prepare
from core.load import LoadedModel, load_model
from core.predict import predict

PICTURES, ROUNDS = 16, 5


def main() -> None:
    rng = np.random.default_rng(0)
    images = [
        (f"{index}.png", Image.fromarray(rng.integers(0, 256, (375, 500, 3)).astype(np.uint8)))
        for index in range(PICTURES)
    ]
    for name in ("resnet18", "resnet50", "vit_b_16"):
        architecture = Architecture("torchvision", name)
        loaded = load(architecture)
        preprocessing = default_preprocessing(architecture)
        inputs = [prepare(image, preprocessing).unsqueeze(0) for _, image in images]

        def bare(model: torch.nn.Module, inputs: list[torch.Tensor]) -> None:
            with torch.inference_mode():
                for x in inputs:
                    model(x)

        ours, plain = best_of(
            lambda: predict(loaded, images, preprocessing),  # noqa: B023
            lambda: bare(loaded.model, inputs),  # noqa: B023
        )
        print(
            f"{name:10} bare {1000 * plain / PICTURES:6.1f} ms a picture, "
            f"Loupe {1000 * ours / PICTURES:6.1f} ms, ratio {ours / plain:.2f}"
        )


def load(architecture: Architecture) -> LoadedModel:
    """The architecture with random weights, saved by torch and loaded by Loupe."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(get_model(architecture.name).state_dict(), path)
        return load_model(open_checkpoint(path).state_dict(), architecture)


def best_of(*works: Callable[[], object]) -> list[float]:
    """The best time of each in seconds, taken in turn so that a busy moment hits all."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, taken in zip(works, times, strict=True):
            started = time.perf_counter()
            work()
            taken.append(time.perf_counter() - started)
    return [min(taken) for taken in times]


if __name__ == "__main__":
    main()
