"""Exporting a repaired file beside plain torch, in one run: times, their ratio, peak memory.

    python benchmarks/export.py [--gb 1] [--repeats 3] [--folder FOLDER]

The file is a training's checkpoint of that many GB in 100 tensors, its keys behind `module.`.
Plain torch is torch.load(weights_only=True), the keys changed, then torch.save or save_file; Loupe
is open, the recipe, and the export with all its bytes on the disk and read again. Loupe until it is
written is measured too, and plain torch with an fsync, as a file needs it that must outlive a power
cut. Each way has a process of its own: the best of the repeats counts, the source is warm in the
page cache, imports are not counted. Memory is the growth of the peak resident set (VmHWM of Linux).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import safetensors.torch
import torch

from benchmarks.peak_memory import peak as memory_peak
from benchmarks.peak_memory import reset_peak
from core.checkpoint import open_checkpoint
from core.export import export_state_dict
from core.fixes import Recipe, Step, StripPrefix
from core.recipe import apply_recipe

TENSORS = 100
MB = 1_000_000
FORMATS = (".pth", ".safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files are written (a temporary one)")
    parser.add_argument("--measure", nargs=3, metavar=("WAY", "IN", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        way, source, out = options.measure
        print(json.dumps(measure(WAYS[way], Path(source), Path(out), options.repeats)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = Path(folder) / "in.pth"
        torch.save(training_file(options.gb), source)
        print(f"{source.stat().st_size / MB:,.0f} MB, {TENSORS} tensors", flush=True)
        print(f"{'':14}{'way':28}{'time':>10}{'against torch':>15}{'peak':>10}")
        for suffix in FORMATS:
            compare(source, Path(folder) / f"out{suffix}", options.repeats)


def training_file(gb: float) -> dict[str, object]:
    each = int(gb * 1e9 / TENSORS / 4 / 1024)
    tensors = {
        f"module.layers.{index}.weight": torch.full((each, 1024), float(index))
        for index in range(TENSORS)
    }
    return {"epoch": 3, "state_dict": tensors}


def compare(source: Path, out: Path, repeats: int) -> None:
    plain = None
    for way in WAYS:
        command = [sys.executable, __file__, "--repeats", str(repeats)]
        done = subprocess.run(
            [*command, "--measure", way, str(source), str(out)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seconds, peak = json.loads(done.stdout)
        plain = plain or seconds
        ratio = f"{seconds / plain:.2f}×"
        row = f"{out.suffix:14}{way:28}{seconds:>8.2f} s{ratio:>15}{peak / MB:>7,.0f} MB"
        print(row, flush=True)


def torch_alone(source: Path, out: Path) -> float:
    """Seconds from beginning to end."""
    start = time.perf_counter()
    state_dict = torch.load(source, weights_only=True)["state_dict"]
    changed = {key.removeprefix("module."): tensor for key, tensor in state_dict.items()}
    if out.suffix == ".pth":
        torch.save(changed, out)
    else:
        safetensors.torch.save_file(changed, out)
    return time.perf_counter() - start


def torch_onto_disk(source: Path, out: Path) -> float:
    """The same until the bytes are on the disk."""
    start = time.perf_counter()
    torch_alone(source, out)
    descriptor = os.open(out, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return time.perf_counter() - start


def loupe(source: Path, out: Path) -> float:
    """Seconds from beginning to end."""
    return loupe_times(source, out)[1]


def loupe_until_written(source: Path, out: Path) -> float:
    """Seconds until the last byte was handed to the system; the rest is fsync and reading."""
    return loupe_times(source, out)[0]


def loupe_times(source: Path, out: Path) -> tuple[float, float]:
    written = 0.0

    def report(done: int, total: int, _key: str) -> None:
        nonlocal written
        if done <= total // 2:
            written = time.perf_counter() - start

    start = time.perf_counter()
    state_dict = open_checkpoint(source).state_dict()
    repaired = apply_recipe(Recipe((Step(StripPrefix("module.")),)), state_dict).state_dict
    form = "pth" if out.suffix == ".pth" else "safetensors"
    export_state_dict(repaired, out, form, progress=report)
    return written, time.perf_counter() - start


Way = Callable[[Path, Path], float]

WAYS: dict[str, Way] = {
    "torch": torch_alone,
    "torch, onto the disk": torch_onto_disk,
    "Loupe": loupe,
    "Loupe, until it is written": loupe_until_written,
}


def measure(way: Way, source: Path, out: Path, repeats: int) -> tuple[float, int]:
    """Best seconds, and the bytes by which the peak resident set grew over the first export."""
    read_once(source)
    before = reset_peak()
    times = []
    peak = 0
    for _ in range(repeats):
        out.unlink(missing_ok=True)
        os.sync()
        times.append(way(source, out))
        peak = peak or memory_peak() - before
    out.unlink()
    return min(times), peak


def read_once(source: Path) -> None:
    """Into the page cache."""
    with source.open("rb") as file:
        while file.read(MB):
            pass


if __name__ == "__main__":
    main()
