"""Compare beside plain torch, on one pair of files, in one run: ratios, and peak memory.

    python benchmarks/compare.py [--megabytes 1000] [--tensors 130] [--repeats 3]

The pair is written to a temporary folder, the second with every third tensor changed. Files are
warm in the page cache; the best of the repeats counts. Memory is the growth of the peak resident
set (VmHWM of Linux), which for mmapped files counts their pages too.
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from core.checkpoint import open_checkpoint
from core.compare.judge import compare
from core.compare.measure import difference
from core.compare.numbers import Numbers
from core.compare.words import State

MB = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1000, help="size of each file")
    parser.add_argument("--tensors", type=int, default=130)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        a, b = write_pair(Path(folder), options.megabytes * MB, options.tensors)
        print(f"two files of {options.megabytes} MB, {options.tensors} tensors, float32\n")
        print(f"{'':34}{'Loupe':>12}{'torch':>12}{'ratio':>9}{'Loupe MB':>10}{'torch MB':>10}")
        changed(a, b, options.repeats)
        numbers(a, b, options.repeats)


def write_pair(folder: Path, nbytes: int, tensors: int) -> tuple[Path, Path]:
    columns = 1024
    rows = max(1, nbytes // tensors // columns // 4)
    torch.manual_seed(0)
    weights = {f"blocks.{index}.weight": torch.randn(rows, columns) for index in range(tensors)}
    torch.save(weights, folder / "a.pth")
    for index in range(0, tensors, 3):
        weights[f"blocks.{index}.weight"].add_(torch.randn(rows, columns), alpha=1e-3)
    torch.save(weights, folder / "b.pth")
    return folder / "a.pth", folder / "b.pth"


def changed(a: Path, b: Path, repeats: int) -> None:
    """Which tensors changed: open both and compare, against torch.equal on mmapped pairs."""

    def loupe() -> list[str]:
        found = compare(open_checkpoint(a).state_dict(), open_checkpoint(b).state_dict())
        return [row.key for row in found.rows if row.state is State.CHANGED]

    def plain() -> list[str]:
        x, y = (torch.load(path, mmap=True, weights_only=True) for path in (a, b))
        return [key for key in x if not torch.equal(x[key], y[key])]

    assert loupe() == plain()
    report("which tensors changed, files opened", measure(loupe, repeats), measure(plain, repeats))


def numbers(a: Path, b: Path, repeats: int) -> None:
    """All numbers of all pairs from the files, against the naive ones of tensors in memory."""
    entries = [open_checkpoint(path).state_dict() for path in (a, b)]

    def loupe() -> list[Numbers]:
        return [difference(entries[0][key], entries[1][key]) for key in entries[0]]

    ours = measure(loupe, repeats)
    loaded = [torch.load(path, weights_only=True) for path in (a, b)]

    def plain() -> list[tuple[float, ...]]:
        return [naive(loaded[0][key], loaded[1][key]) for key in loaded[0]]

    for found, wanted in zip(loupe(), plain(), strict=True):
        told = (found.max_abs, found.mean_abs, found.relative_l2, found.cosine)
        assert all(
            math.isclose(x, y, rel_tol=1e-4, abs_tol=1e-6)
            for x, y in zip(told, wanted, strict=False)
        ), (told, wanted)
    report("full numbers, torch's load not counted", ours, measure(plain, repeats))


def naive(a: torch.Tensor, b: torch.Tensor) -> tuple[float, ...]:
    step = (a - b).abs()
    return (
        float(step.max()),
        float(step.mean()),
        float((a - b).norm() / a.norm()),
        float(torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0)),
        float(a.isnan().sum()),
        float(b.isnan().sum()),
        float(a.isinf().sum()),
        float(b.isinf().sum()),
    )


def measure(work: Callable[[], object], repeats: int) -> tuple[float, int]:
    """The best time in seconds, and the bytes by which the peak resident set grew."""
    before = reset_peak()
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best, resident("VmHWM") - before


def reset_peak() -> int:
    """Forget the peak so far (proc(5), clear_refs); the bytes that are resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def report(what: str, ours: tuple[float, int], theirs: tuple[float, int]) -> None:
    times = f"{ours[0] * 1e3:>9.1f} ms{theirs[0] * 1e3:>9.1f} ms{theirs[0] / ours[0]:>8.1f}×"
    print(f"{what:40}{times}{ours[1] / MB:>9.0f} {theirs[1] / MB:>9.0f}")


if __name__ == "__main__":
    main()
