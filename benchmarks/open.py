"""Open beside torch.load and safetensors, in one run: ratios, and peak memory.

    python benchmarks/open.py [--gb 1.0] [--tensors 130] [--many 20000] [--repeats 5]

The files are written to a temporary folder and are warm in the page cache; the best of the repeats
counts. Loupe gives all keys, shapes, dtypes, metadata and verdicts. Memory is the growth of the
peak resident set (VmHWM of Linux) in a process of its own.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import safetensors
import safetensors.torch
import torch

from core.checkpoint import open_checkpoint

ROOT = Path(__file__).resolve().parent.parent
OPEN = "from core.checkpoint import open_checkpoint as action"
MMAP = "import functools, torch; action = functools.partial(torch.load, mmap=True)"
PEAK = """
import sys
from pathlib import Path
{setup}
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
before = peak()
result = action(Path(sys.argv[1]))
print(peak() - before)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=1.0, help="size of the large file")
    parser.add_argument("--tensors", type=int, default=130, help="tensors of the large file")
    parser.add_argument("--many", type=int, default=20_000, help="tensors of the small file")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        numel = int(options.gb * 1e9 / 4 / options.tensors)
        large = {f"layer{i}.weight": torch.zeros(numel) for i in range(options.tensors)}
        many = {f"layer{i}.weight": torch.zeros(4) for i in range(options.many)}
        print(f"{'':44}{'Loupe':>11}{'other':>11}{'ratio':>9}")
        for title, tensors in (
            (f"{options.tensors} tensors, {options.gb} GB", large),
            (f"{options.many} tensors", many),
        ):
            compare(folder, title, tensors, options.repeats)
            if tensors is large:
                large.clear()


def compare(folder: Path, title: str, tensors: dict[str, torch.Tensor], repeats: int) -> None:
    """All the lines on files of these tensors, in each format."""
    path = folder / "m.pth"
    torch.save({"epoch": 3, "state_dict": tensors}, path)
    ours = best(lambda: open_checkpoint(path), repeats)
    line(f"zip, {title}: torch.load", ours, best(lambda: torch.load(path), 2))
    ours, theirs = alternating(
        lambda: open_checkpoint(path), lambda: torch.load(path, mmap=True), repeats
    )
    line(f"zip, {title}: mmap=True", ours, theirs)
    print(f"{'  growth of peak memory':44}{peak(OPEN, path):>8.1f} MB{peak(MMAP, path):>8.1f} MB")
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    ours = best(lambda: open_checkpoint(path), repeats)
    line(f"legacy, {title}: torch.load", ours, best(lambda: torch.load(path), 2))
    print(f"{'  growth of peak memory':44}{peak(OPEN, path):>8.1f} MB")
    safetensors.torch.save_file(tensors, path)
    ours, theirs = alternating(
        lambda: open_checkpoint(path), lambda: described_by_safe_open(path), repeats
    )
    line(f"safetensors, {title}: safe_open", ours, theirs)
    print(f"{'  growth of peak memory':44}{peak(OPEN, path):>8.1f} MB")


def described_by_safe_open(path: Path) -> dict[str, tuple[list[int], str]]:
    with safetensors.safe_open(path, "pt") as file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  # no mapping
        return {key: (found.get_shape(), found.get_dtype()) for key, found in slices.items()}


def best(action: Callable[[], object], repeats: int) -> float:
    return min(timed(action) for _ in range(repeats))


def alternating(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """The best of each, measured in turns, so that a busy machine slows both."""
    pairs = [(timed(ours), timed(theirs)) for _ in range(repeats)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    result = action()
    seconds = time.perf_counter() - start
    del result
    return seconds


def peak(setup: str, path: Path) -> float:
    """Growth of the peak resident set in MB, in a process of its own."""
    code = PEAK.format(setup=setup)
    told = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, check=True
    )
    return int(told.stdout) * 1024 / 1e6


def line(title: str, ours: float, theirs: float) -> None:
    print(f"{title:44}{ours * 1e3:>8.1f} ms{theirs * 1e3:>8.1f} ms{theirs / ours:>8.1f}×")


if __name__ == "__main__":
    main()
