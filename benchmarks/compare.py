"""Compare beside plain torch and other tools, on one pair of files, in one run: ratios, memory.

    python benchmarks/compare.py [--megabytes 3500] [--tensors 130] [--repeats 3] [--growth]
                                 [--others FOLDER]

The pair is written to a temporary folder, the second with every third tensor changed. Files are
warm in the page cache; the best of the repeats counts, and compiling is not counted. Memory is the
growth of the peak resident set (VmHWM of Linux) over what the imports took, the compiler's
included; for mmapped files it counts their pages too. The bandwidth is that of one thread a file,
each reading into one buffer again and again.

Of other tools two take such files here: `sft diff --delta` (pip install sft-cli), which tells the
largest and the mean difference, the L2 and the cosine, and `diffai` (pip install diffai-python),
which tells each tensor's least, largest, mean and deviation. They take safetensors, and run in
processes of their own, as Loupe then does; `--others` is the `bin` folder of an environment that
has them. Each is n/a where it is not there.
"""

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from safetensors.torch import save_file

from benchmarks.peak_memory import peak, reset_peak
from core.checkpoint import open_checkpoint
from core.compare import Numbers, State, comparable, compare
from core.compare.numbers import differences
from core.inspect import RecordChecks

MB = 1_000_000
Measured = tuple[float, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=3500, help="size of each file")
    parser.add_argument("--tensors", type=int, default=130)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--growth", action="store_true", help="also by tensors and by bytes")
    parser.add_argument("--others", type=Path, default=None, help="where other tools are")
    parser.add_argument("--numbers", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.numbers:
        print(len(measured(*options.numbers)))
        return
    megabytes = options.megabytes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        refuse_too_large(folder, megabytes * MB)
        a, b = write_pair(folder, megabytes * MB, options.tensors)
        print(f"two files of {megabytes} MB, {options.tensors} tensors, float32\n")
        print(f"{'':40}{'Loupe':>12}{'torch':>12}{'ratio':>9}{'Loupe MB':>10}{'torch MB':>10}")
        changed(a, b, options.repeats)
        numbers(a, b, options.repeats)
        pace, most = paces(a, b, 2 * options.repeats)
        print(
            f"\nfull numbers at {pace:.1f} GB/s, {pace / most:.0%} of the {most:.1f} GB/s at which "
            "two threads read both files"
        )
        a.unlink()
        b.unlink()
        other_tools(folder, options)
        if options.growth:
            growth(folder, megabytes, options.repeats)


def refuse_too_large(folder: Path, nbytes: int) -> None:
    """Both files are on the disk at once, and in memory twice: as files and as tensors."""
    free = available()
    if shutil.disk_usage(folder).free < 2.2 * nbytes or free < 4.5 * nbytes:
        sys.exit(
            f"Two files of {nbytes // MB:,} MB need {2.2 * nbytes / 1e9:.0f} GB of disk and "
            f"{4.5 * nbytes / 1e9:.0f} GB of memory: choose fewer --megabytes."
        )


def available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def pair_of(nbytes: int, tensors: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    columns = 1024 if nbytes // tensors > 1 << 16 else 64
    rows = max(1, nbytes // tensors // columns // 4)
    torch.manual_seed(0)
    a = {f"blocks.{index}.weight": torch.randn(rows, columns) for index in range(tensors)}
    b = dict(a)
    for key in list(a)[::3]:
        b[key] = a[key] + 1e-3 * torch.randn(rows, columns)
    return a, b


def write_pair(folder: Path, nbytes: int, tensors: int) -> tuple[Path, Path]:
    paths = folder / "a.pth", folder / "b.pth"
    for weights, path in zip(pair_of(nbytes, tensors), paths, strict=True):
        torch.save(weights, path)
    return paths


def changed(a: Path, b: Path, repeats: int) -> None:
    """Which tensors changed: open both and compare, against torch.equal on mmapped pairs.

    Once by the checksums, and once by the bytes, all of which are hashed too.
    """

    def loupe() -> list[str]:
        found = compare(open_checkpoint(a).state_dict(), open_checkpoint(b).state_dict())
        return [row.key for row in found.rows if row.state is State.CHANGED]

    def read() -> list[str]:
        sides = (open_checkpoint(path).state_dict() for path in (a, b))
        found = compare(*sides, checks=RecordChecks())
        return [row.key for row in found.rows if row.state is State.CHANGED]

    def plain() -> list[str]:
        x, y = (torch.load(path, mmap=True, weights_only=True) for path in (a, b))
        return [key for key in x if not torch.equal(x[key], y[key])]

    assert loupe() == read() == plain()
    theirs = measure(plain, repeats)
    report("which changed, checksums trusted", measure(loupe, repeats), theirs)
    report("which changed, bytes read and hashed", measure(read, repeats), theirs)


def numbers(a: Path, b: Path, repeats: int) -> None:
    """All numbers of all pairs from the files, against the naive ones of tensors in memory.

    The naive cosine is off by up to 5e-4, being summed in float32.
    """
    x, y = (open_checkpoint(path).state_dict() for path in (a, b))
    pairs = [(x[key], y[key]) for key in x]

    def loupe() -> list[Numbers]:
        return [found for _, found in sorted(differences(pairs), key=lambda told: told[0])]

    ours = measure(loupe, repeats + 1)
    loaded = [torch.load(path, weights_only=True) for path in (a, b)]

    def checked() -> list[Numbers]:
        return [found for _, found in differences(pairs, checks=RecordChecks())]

    hashed = measure(checked, repeats)

    def plain() -> list[tuple[float, ...]]:
        return [naive(loaded[0][key], loaded[1][key]) for key in loaded[0]]

    for found, wanted in zip(loupe(), plain(), strict=True):
        told = (found.max_abs, found.mean_abs, found.relative_l2, found.cosine)
        assert all(
            math.isclose(x, y, rel_tol=1e-3, abs_tol=1e-6)
            for x, y in zip(told, wanted, strict=False)
        ), (told, wanted)
    theirs = measure(plain, repeats)
    report("full numbers, torch's load not counted", ours, theirs)
    report("full numbers, both files hashed too", hashed, theirs)


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


def paces(a: Path, b: Path, repeats: int) -> tuple[float, float]:
    """GB a second of the full numbers and of reading alone, by turns on a machine that others use;
    the best of each."""
    x, y = (open_checkpoint(path).state_dict() for path in (a, b))
    pairs = [(x[key], y[key]) for key in x]
    nbytes = a.stat().st_size + b.stat().st_size
    pace = most = 0.0
    for _ in range(repeats):
        seconds = measure(lambda: list(differences(pairs)), 1)[0]
        pace, most = max(pace, nbytes / 1e9 / seconds), max(most, bandwidth(a, b, 1))
    return pace, most


def bandwidth(a: Path, b: Path, repeats: int, chunk: int = 1 << 18) -> float:
    """GB a second that two threads read, one a file."""

    def read(path: Path) -> None:
        buffer = bytearray(chunk)
        with path.open("rb", buffering=0) as file:
            for at in range(0, path.stat().st_size, chunk):
                os.preadv(file.fileno(), [buffer], at)

    def both() -> None:
        threads = [threading.Thread(target=read, args=(path,)) for path in (a, b)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return (a.stat().st_size + b.stat().st_size) / 1e9 / measure(both, repeats)[0]


def other_tools(folder: Path, options: argparse.Namespace) -> None:
    """Full numbers by tools that people can install, each a process from its start to its end."""
    paths = folder / "a.safetensors", folder / "b.safetensors"
    megabytes = min(options.megabytes, 1000)
    for weights, path in zip(pair_of(megabytes * MB, options.tensors), paths, strict=True):
        save_file(weights, path)
    files = [str(path) for path in paths]
    bin_ = str(options.others) if options.others else None
    sft = shutil.which("sft", path=bin_) or "sft"
    python = shutil.which("python", path=bin_) or sys.executable
    program = "import diffai, sys; print(len(diffai.diff_paths(*sys.argv[1:])))"
    print(f"\ntwo safetensors files of {megabytes} MB, each tool a process of its own")
    told("Loupe", [sys.executable, __file__, "--numbers", *files], options.repeats)
    told("sft diff --delta", [sft, "diff", "--delta", "--json", *files], options.repeats)
    told("diffai", [python, "-c", program, *files], options.repeats)
    for path in paths:
        path.unlink()


def told(name: str, command: Sequence[str], repeats: int) -> None:
    """A row of a tool's best time."""
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            print(f"{name:40}{'n/a':>12}")
            return
        best = min(best, time.perf_counter() - start)
    print(f"{name:40}{best * 1e3:>9.0f} ms", flush=True)


def measured(a: Path, b: Path) -> list[tuple[int, Numbers]]:
    """Open both, compare, and take the numbers of every pair."""
    found = compare(open_checkpoint(a).state_dict(), open_checkpoint(b).state_dict())
    rows = [row for row in found.rows if comparable(row.a, row.b)]
    return list(differences([(row.a, row.b) for row in rows]))


def growth(folder: Path, megabytes: int, repeats: int) -> None:
    print(f"\n{'growth':40}{'changed':>12}{'numbers':>12}")
    sizes = [size for size in (10, 100, 1000, 3500) if size <= megabytes]
    for tensors, nbytes in (
        *((count, 20_000 * count) for count in (100, 1000, 5000, 20_000)),
        *((130, size * MB) for size in sizes),
    ):
        a, b = write_pair(folder, nbytes, tensors)
        opened = [open_checkpoint(path).state_dict() for path in (a, b)]
        pairs = [(opened[0][key], opened[1][key]) for key in opened[0]]
        states = measure(lambda opened=opened: compare(*opened), repeats)[0]
        full = measure(lambda pairs=pairs: list(differences(pairs)), repeats)[0]
        what = f"{tensors:,} tensors, {nbytes / MB:,.0f} MB"
        print(f"{what:40}{states * 1e3:>9.1f} ms{full * 1e3:>9.1f} ms", flush=True)
        a.unlink()
        b.unlink()


def measure(work: Callable[[], object], repeats: int) -> Measured:
    """The best time in seconds, and the bytes by which the peak resident set grew."""
    before = reset_peak()
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best, peak() - before


def report(what: str, ours: Measured, theirs: Measured) -> None:
    times = f"{ours[0] * 1e3:>9.1f} ms{theirs[0] * 1e3:>9.1f} ms{theirs[0] / ours[0]:>8.1f}×"
    print(f"{what:40}{times}{ours[1] / MB:>9.0f} {theirs[1] / MB:>9.0f}", flush=True)


if __name__ == "__main__":
    main()
