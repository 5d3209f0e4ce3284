"""Loading beside plain torch, ready for inference, in one run: ratios, peak memory.

    python benchmarks/load.py [--repeats 7] [--rounds 3] [--cpu] [--device cuda:0] [NETWORK ...]
    python benchmarks/load.py --check [NETWORK ...]

Plain torch is build + torch.load(weights_only=True) + load_state_dict, in eval mode, and
.to(device) where it is not the CPU; Loupe is open, match and load. Files are warm in the page
cache. "first" is the first load of a fresh process, in which torch, the network's library and
Loupe are imported, and nothing is known of the network; "later" the best of the repeats after it.
The two ways take turns, each time in a process of its own, and the best of the rounds counts, so
that other programs disturb both alike. Both have Python's garbage collector as it is by default:
on, with nothing frozen. It has run right before the first load, since else a collection of the
million objects that the imports leave would fall into one way's first load, and not the other's.
On a machine that is busy, `--cpu` counts the seconds of a processor that each way takes, with one
thread in torch, in place of the clock's.
Memory is the growth of the peak resident set (VmHWM of Linux) over a first load, against the
weights' bytes, in a process of its own, which has loaded another network before: what torch imports
only then is no network's. On a CUDA device there are also the bytes a second while reading, and
their share of what one large copy from pinned memory reaches.

--check loads every torchvision network both ways and compares all tensors and the outputs.
"""

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

from benchmarks.peak_memory import peak as memory_peak
from benchmarks.peak_memory import reset_peak
from benchmarks.plain_outputs import difference, smaller
from core.architectures import TORCHVISION, Architecture, build, catalogue, parse_architecture
from core.checkpoint import open_checkpoint
from core.load import devices, load_model

ARCHITECTURES = (
    *(
        f"torchvision:{name}"
        for name in (
            "resnet18",
            "resnet50",
            "densenet121",
            "densenet201",
            "mobilenet_v2",
            "mobilenet_v3_large",
            "efficientnet_b0",
            "efficientnet_b4",
            "regnet_y_400mf",
            "regnet_x_800mf",
            "shufflenet_v2_x1_0",
            "mnasnet1_0",
            "convnext_tiny",
            "swin_t",
            "vit_b_16",
        )
    ),
    *(
        f"timm:{name}"
        for name in (
            "efficientnet_b0",
            "regnety_004",
            "densenet121",
            "convnextv2_tiny",
            "vit_small_patch16_224",
            "deit3_base_patch16_224",
        )
    ),
)

ANOTHER = "torchvision:squeezenet1_1"
"""A small network of another kind, which is loaded before a peak is measured."""

MB = 1_000_000


LINK_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Measured:
    """One way of loading: the seconds of the first load, and the best of those after it; the most
    bytes a second while reading."""

    later: float
    first: float
    pace: float

    def best(self, other: "Measured") -> "Measured":
        """The best of two rounds."""
        return Measured(
            min(self.later, other.later),
            min(self.first, other.first),
            max(self.pace, other.pace),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("architectures", nargs="*")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=devices())
    parser.add_argument("--check", action="store_true", help="compare tensors and outputs")
    parser.add_argument("--cpu", action="store_true", help="CPU seconds, in place of the clock's")
    parser.add_argument("--peak", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.check:
        sys.exit(check([parse_architecture(name) for name in options.architectures]))
    architectures = [parse_architecture(name) for name in options.architectures or ARCHITECTURES]
    if options.measure:
        way, file = options.measure
        where = (WAYS[way], Path(file), architectures[0], options.device)
        clock = time.process_time if options.cpu else time.perf_counter
        if options.cpu:
            torch.set_num_threads(1)  # those that wait for one another would count too
        result = peak(*where) if options.peak else measure(*where, options.repeats, clock)
        print(json.dumps(result))
        return
    link = link_speed(options.device) if options.device.startswith("cuda") else 0.0
    if link:
        print(f"{options.device}: a copy from pinned memory reaches {link / 1e9:.1f} GB/s")
    times = "".join(f"{'Loupe':>11}{'torch':>10}{name:>9}" for name in ("later", "first"))
    reading = f"{'reading':>13}{'of the link':>13}" if link else f"{'reading':>13}"
    print(f"{'':34}{times}{'weights':>11}{'Loupe peak':>13}{'torch':>8}{reading}", flush=True)
    for architecture in architectures:
        with tempfile.TemporaryDirectory() as folder:
            compare(architecture, Path(folder) / "model.pth", options, link)


def compare(
    architecture: Architecture, path: Path, options: argparse.Namespace, link: float
) -> None:
    """One row: times of later loads and of the first with their ratios, peaks as multiples of the
    weights, bytes a second."""
    state_dict = build(architecture).state_dict()
    nbytes = sum(tensor.nbytes for tensor in state_dict.values())
    torch.save(state_dict, path)
    del state_dict
    rounds = [
        [Measured(*in_a_fresh_process(way, path, architecture, options)) for way in WAYS]
        for _ in range(options.rounds)
    ]
    ours, theirs = (reduce(Measured.best, found) for found in zip(*rounds, strict=True))
    times = "".join(
        f"{one * 1e3:>8.0f} ms{other * 1e3:>7.0f} ms{other / one:>8.1f}×"
        for one, other in ((ours.later, theirs.later), (ours.first, theirs.first))
    )
    most, theirs_most = (
        in_a_fresh_process(way, path, architecture, options, "--peak") for way in WAYS
    )
    peaks = f"{most / nbytes:>12.2f}×{theirs_most / nbytes:>7.2f}×"
    reading = f"{ours.pace / 1e9:>8.1f} GB/s" + (f"{ours.pace / link:>12.0%} " if link else "")
    print(f"{architecture.title:34}{times}{nbytes / MB:>8.0f} MB{peaks}{reading}", flush=True)


def in_a_fresh_process(
    way: str, path: Path, architecture: Architecture, options: argparse.Namespace, *more: str
) -> Any:
    command = [sys.executable, __file__, architecture.key, "--repeats", str(options.repeats)]
    command += ["--cpu"] if options.cpu else []
    done = subprocess.run(
        [*command, *more, "--device", options.device, "--measure", way, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


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
    way: Way,
    path: Path,
    architecture: Architecture,
    device: str,
    repeats: int,
    clock: Callable[[], float],
) -> tuple[float, float, float]:
    """Load once, and so many times more, in this process, which has imported the network's library
    to know its name."""
    path.read_bytes()
    if device != "cpu":
        torch.zeros(1, device=device)
    gc.collect()
    times, paces = [], []
    for _ in range(1 + repeats):
        start = clock()
        model, pace = way(path, architecture, device)
        times.append(clock() - start)
        paces.append(pace)
        del model
    return min(times[1:]), times[0], max(paces)


def peak(way: Way, path: Path, architecture: Architecture, device: str) -> int:
    """The bytes by which the peak resident set grows over the network's first load."""
    another = parse_architecture(ANOTHER)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(build(another).state_dict(), Path(folder) / "another.pth")
        way(Path(folder) / "another.pth", another, device)
    path.read_bytes()
    before = reset_peak()
    model, _ = way(path, architecture, device)
    del model
    return memory_peak() - before


if __name__ == "__main__":
    main()
