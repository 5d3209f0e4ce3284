"""Loading beside plain torch, ready for inference on the CPU, in one run: ratios, peak memory.

    python benchmarks/load.py [--repeats 5] [ARCHITECTURE ...]

Plain torch is build + torch.load(weights_only=True) + load_state_dict; Loupe is open, match and
load. Each way has a process of its own: the best of the repeats counts, files are warm in the page
cache, imports and the first signature are not counted. Memory is the growth of the peak resident
set (VmHWM of Linux) over the first load, against the weights' bytes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

from benchmarks.peak_memory import peak as memory_peak
from benchmarks.peak_memory import reset_peak
from core.architectures import Architecture, build, parse_architecture, signature
from core.checkpoint import open_checkpoint
from core.load import load_model

ARCHITECTURES = ("torchvision:vit_b_16", "torchvision:resnet18", "torchvision:resnet50")

MB = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architectures", nargs="*", default=ARCHITECTURES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    architectures = [parse_architecture(name) for name in options.architectures]
    if options.measure:
        way, file = options.measure
        print(json.dumps(measure(WAYS[way], Path(file), architectures[0], options.repeats)))
        return
    times = f"{'':28}{'Loupe':>11}{'torch':>12}{'ratio':>9}"
    print(f"{times}{'weights':>11}{'Loupe peak':>13}{'torch':>8}", flush=True)
    for architecture in architectures:
        with tempfile.TemporaryDirectory() as folder:
            compare(architecture, Path(folder) / "model.pth", options.repeats)


def compare(architecture: Architecture, path: Path, repeats: int) -> None:
    """One row: best times and their ratio, peaks as multiples of the weights."""
    state_dict = build(architecture).state_dict()
    nbytes = sum(tensor.nbytes for tensor in state_dict.values())
    torch.save(state_dict, path)
    del state_dict
    (ours, our_peak), (theirs, their_peak) = (
        in_a_fresh_process(way, path, architecture, repeats) for way in WAYS
    )
    times = f"{ours * 1e3:>8.0f} ms{theirs * 1e3:>9.0f} ms{theirs / ours:>8.1f}×"
    peaks = f"{our_peak / nbytes:>12.2f}×{their_peak / nbytes:>7.2f}×"
    print(f"{architecture.title:28}{times}{nbytes / MB:>8.0f} MB{peaks}", flush=True)


def in_a_fresh_process(
    way: str, path: Path, architecture: Architecture, repeats: int
) -> tuple[float, int]:
    command = [sys.executable, __file__, architecture.key, "--repeats", str(repeats)]
    done = subprocess.run(
        [*command, "--measure", way, str(path)], stdout=subprocess.PIPE, text=True, check=True
    )
    seconds, peak = json.loads(done.stdout)
    return seconds, peak


def loupe(path: Path, architecture: Architecture) -> nn.Module:
    return load_model(open_checkpoint(path).state_dict(), architecture).model


def plain(path: Path, architecture: Architecture) -> nn.Module:
    model = build(architecture)
    model.load_state_dict(torch.load(path, weights_only=True))
    return model


Way = Callable[[Path, Architecture], nn.Module]

WAYS: dict[str, Way] = {"loupe": loupe, "torch": plain}


def measure(way: Way, path: Path, architecture: Architecture, repeats: int) -> tuple[float, int]:
    """Best seconds, and the bytes by which the peak resident set grew over the first load."""
    signature(architecture)
    path.read_bytes()
    before = reset_peak()
    times = []
    peak = 0
    for _ in range(repeats):
        start = time.perf_counter()
        model = way(path, architecture)
        times.append(time.perf_counter() - start)
        peak = peak or memory_peak() - before
        del model
    return min(times), peak


if __name__ == "__main__":
    main()
