"""What loading costs: Loupe's load_model against plain torch, from the same file, on the CPU.

Run from the repository's root with `python -m benchmarks.load`. Plain torch builds the network,
calls torch.load and load_state_dict; both begin with a path and end with a model in eval mode,
and the file is in the page cache for both. The peak is what a fresh process grows by, over what
it takes once everything is imported and the network's keys are known (VmHWM of proc(5)).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn
from torchvision.models import get_model

from core.architectures import Architecture, signature
from core.checkpoint import open_checkpoint
from core.load import load_model

NAMES = ("vit_b_16", "resnet18", "resnet50")
ROUNDS = 5


def main() -> None:
    print(f"{'':10} {'plain torch':>20} {'Loupe':>20}   ratio")
    for name in NAMES:
        with TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.pth"
            weights = get_model(name).state_dict()
            nbytes = sum(tensor.nbytes for tensor in weights.values())
            torch.save(weights, path)
            del weights
            signature(Architecture("torchvision", name))  # the app knows it from the Fit page
            plain, ours = best_of(lambda: by_torch(name, path), lambda: by_loupe(name, path))  # noqa: B023
            peaks = [peak(how, name, path) / nbytes for how in WAYS]
        print(
            f"{name:10} {1000 * plain:7.0f} ms, {peaks[0]:4.2f} ×   {1000 * ours:7.0f} ms, "
            f"{peaks[1]:4.2f} ×   {plain / ours:5.1f}   (peaks in weights of {nbytes / 1e6:.0f} MB)"
        )


def by_torch(name: str, path: Path) -> nn.Module:
    """The model as anybody loads it."""
    model = get_model(name)
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()


def by_loupe(name: str, path: Path) -> nn.Module:
    """The model as Loupe loads it, opening the file included."""
    state_dict = open_checkpoint(path).state_dict()
    return load_model(state_dict, Architecture("torchvision", name)).model


WAYS: dict[str, Callable[[str, Path], nn.Module]] = {"torch": by_torch, "loupe": by_loupe}


def best_of(*works: Callable[[], object]) -> list[float]:
    """The best time of each in seconds, taken in turn so that a busy moment hits all."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, taken in zip(works, times, strict=True):
            started = time.perf_counter()
            work()
            taken.append(time.perf_counter() - started)
    return [min(taken) for taken in times]


def peak(how: str, name: str, path: Path) -> int:
    """Bytes by which a fresh process grows at most while it loads the model."""
    command = [sys.executable, "-m", "benchmarks.load", how, name, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_growth(how: str, name: str, path: Path) -> None:
    """Load once in this process and print the bytes by which it grew at most."""
    signature(Architecture("torchvision", name))
    before = resident("VmRSS")
    WAYS[how](name, path)
    print(resident("VmHWM") - before)


def resident(field: str) -> int:
    """Bytes of memory that this process holds (VmRSS) or has held at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}.")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print_growth(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    else:
        main()
