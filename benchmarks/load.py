"""Loading beside plain torch, ready for inference, in one run: ratios, peak memory.

    python benchmarks/load.py [--repeats 5] [--device cuda:0] [ARCHITECTURE ...]
    python benchmarks/load.py --check [ARCHITECTURE ...]

Plain torch is build + torch.load(weights_only=True) + load_state_dict, and .to(device) where it is
not the CPU; Loupe is open, match and load. Each way has a process of its own: the best of the
repeats counts, files are warm in the page cache, imports and the first signature are not counted:
a page computes it when an architecture is chosen, before anything is loaded. "first" is Loupe's
first load of the network in its process, with that signature.
Memory is the growth of the peak resident set (VmHWM of Linux) over the first load, against the
weights' bytes. On a CUDA device there are also the bytes a second while reading, and their share
of what one large copy from pinned memory reaches.

--check loads every torchvision network both ways and compares all tensors and the outputs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

from benchmarks.peak_memory import peak as memory_peak
from benchmarks.peak_memory import reset_peak
from benchmarks.plain_outputs import difference, smaller
from core.architectures import (
    TORCHVISION,
    Architecture,
    build,
    catalogue,
    parse_architecture,
    signature,
)
from core.checkpoint import open_checkpoint
from core.load import devices, load_model

ARCHITECTURES = (
    *(
        f"torchvision:{name}"
        for name in (
            "vit_b_16",
            "resnet18",
            "resnet50",
            "convnext_tiny",
            "efficientnet_b0",
            "swin_t",
            "regnet_y_400mf",
            "densenet121",
            "mobilenet_v3_large",
        )
    ),
    *(
        f"timm:{name}"
        for name in ("vit_small_patch16_224", "deit3_base_patch16_224", "convnextv2_tiny")
    ),
)

ANOTHER = Architecture(TORCHVISION, "alexnet")
"""Its signature is asked for before anything is measured: with it, torch imports what it needs."""

MB = 1_000_000


LINK_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Measured:
    """One way of loading: the best seconds; those of the first load with the signature; the bytes
    by which the peak resident set grew over the first load; the most bytes a second while
    reading."""

    seconds: float
    first: float
    peak: int
    pace: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architectures", nargs="*")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu", choices=devices())
    parser.add_argument("--check", action="store_true", help="compare tensors and outputs")
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check:
        sys.exit(check([parse_architecture(name) for name in options.architectures]))
    architectures = [parse_architecture(name) for name in options.architectures or ARCHITECTURES]
    if options.measure:
        way, file = options.measure
        found = measure(WAYS[way], Path(file), architectures[0], options.device, options.repeats)
        print(json.dumps(asdict(found)))
        return
    link = link_speed(options.device) if options.device.startswith("cuda") else 0.0
    if link:
        print(f"{options.device}: a copy from pinned memory reaches {link / 1e9:.1f} GB/s")
    times = f"{'':32}{'Loupe':>11}{'torch':>12}{'ratio':>9}{'first':>11}"
    reading = f"{'reading':>13}{'of the link':>13}" if link else f"{'reading':>13}"
    print(f"{times}{'weights':>11}{'Loupe peak':>13}{'torch':>8}{reading}", flush=True)
    for architecture in architectures:
        with tempfile.TemporaryDirectory() as folder:
            compare(architecture, Path(folder) / "model.pth", options.device, options.repeats, link)


def compare(architecture: Architecture, path: Path, device: str, repeats: int, link: float) -> None:
    """One row: best times and their ratio, the first load, peaks as multiples of the weights, bytes
    a second."""
    state_dict = build(architecture).state_dict()
    nbytes = sum(tensor.nbytes for tensor in state_dict.values())
    torch.save(state_dict, path)
    del state_dict
    ours, theirs = (in_a_fresh_process(way, path, architecture, device, repeats) for way in WAYS)
    ratio = f"{theirs.seconds / ours.seconds:>8.1f}×"
    times = f"{ours.seconds * 1e3:>8.0f} ms{theirs.seconds * 1e3:>9.0f} ms{ratio}"
    times += f"{ours.first * 1e3:>8.0f} ms"
    peaks = f"{ours.peak / nbytes:>12.2f}×{theirs.peak / nbytes:>7.2f}×"
    reading = f"{ours.pace / 1e9:>8.1f} GB/s" + (f"{ours.pace / link:>12.0%} " if link else "")
    row = f"{times}{nbytes / MB:>8.0f} MB{peaks}{reading}"
    print(f"{architecture.title:32}{row}", flush=True)


def in_a_fresh_process(
    way: str, path: Path, architecture: Architecture, device: str, repeats: int
) -> Measured:
    command = [sys.executable, __file__, architecture.key, "--repeats", str(repeats)]
    done = subprocess.run(
        [*command, "--device", device, "--measure", way, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Measured(**json.loads(done.stdout))


def link_speed(device: str) -> float:
    """Bytes a second of a copy of 1 GiB from pinned memory, the best of five."""
    here = torch.empty(LINK_BYTES, dtype=torch.uint8, pin_memory=True)
    there = torch.empty(LINK_BYTES, dtype=torch.uint8, device=device)
    times = []
    for _ in range(5):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        there.copy_(here, non_blocking=True)
        torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return LINK_BYTES / min(times)


def check(architectures: Sequence[Architecture]) -> int:
    """A line for each network: equal, or what is not. 1 where one is not."""
    chosen = architectures or [smaller(each) for each in catalogue() if each.library == TORCHVISION]
    failed = 0
    for architecture in chosen:
        with tempfile.TemporaryDirectory() as folder:
            found = difference(architecture, Path(folder) / "model.pth")
        failed += bool(found)
        print(f"{architecture.title:60} {found or 'equal'}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} are equal.")
    return int(failed > 0)


def loupe(path: Path, architecture: Architecture, device: str) -> tuple[nn.Module, float]:
    loaded = load_model(open_checkpoint(path).state_dict(), architecture, device=device)
    return loaded.model, loaded.bytes_per_second


def plain(path: Path, architecture: Architecture, device: str) -> tuple[nn.Module, float]:
    model = build(architecture)
    model.load_state_dict(torch.load(path, weights_only=True))
    model.to(device)
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return model, 0.0


Way = Callable[[Path, Architecture, str], tuple[nn.Module, float]]

WAYS: dict[str, Way] = {"loupe": loupe, "torch": plain}


def measure(
    way: Way, path: Path, architecture: Architecture, device: str, repeats: int
) -> Measured:
    """Load so many times, in this process."""
    signature(ANOTHER)
    start = time.perf_counter()
    signature(architecture)
    to_sign = time.perf_counter() - start
    path.read_bytes()
    if device != "cpu":
        torch.zeros(1, device=device)
    before = reset_peak()
    times, paces = [], []
    peak = 0
    for _ in range(repeats):
        start = time.perf_counter()
        model, pace = way(path, architecture, device)
        times.append(time.perf_counter() - start)
        paces.append(pace)
        peak = peak or memory_peak() - before
        del model
    return Measured(min(times), to_sign + times[0], peak, max(paces))


if __name__ == "__main__":
    main()
