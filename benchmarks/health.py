"""The scan for anomalies beside torch.aminmax and the reading of the bytes, in one run: ratios.

    python benchmarks/health.py [--megabytes 1000] [--tensors 65] [--repeats 5]

One file for each dtype, written to a temporary folder and warm in the page cache. The scan makes
all checks from the file. torch.aminmax has the tensors in memory, which is not counted, and finds a
NaN, zeros and large values, but no infinity among larger ones, no constant and no dead channel. Two
threads read alone, each half of the file into one buffer again and again: nothing that reads the
file is faster. The three take turns on a machine that others use, and the best of each counts.
Memory is the growth of the peak resident set of the scan (VmHWM of Linux).
"""

import argparse
import os
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.compare import MB, measure
from core.checkpoint import open_checkpoint
from core.health import health_verdict, scan

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn)

CHUNK = 1 << 19
"""Bytes that each thread reads at once: as many as the scan."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--tensors", type=int, default=65)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"{options.megabytes} MB, {options.tensors} tensors; GB/s\n")
    columns = ("scan", "aminmax", "reading", "scan / aminmax", "scan / reading", "scan MB")
    print(f"{'':16}" + "".join(f"{column:>16}" for column in columns))
    with tempfile.TemporaryDirectory() as folder:
        for dtype in DTYPES:
            path = Path(folder) / "model.pth"
            write(path, dtype, options.megabytes * MB, options.tensors)
            report(path, dtype, options.repeats)


def write(path: Path, dtype: torch.dtype, nbytes: int, tensors: int) -> None:
    columns = 1024
    rows = nbytes // tensors // columns // dtype.itemsize
    torch.manual_seed(0)
    weights = {
        f"blocks.{index}.fc.weight": (torch.randn(rows, columns) / 32).to(dtype)
        for index in range(tensors)
    }
    torch.save(weights, path)


def report(path: Path, dtype: torch.dtype, repeats: int) -> None:
    state_dict = open_checkpoint(path).state_dict()
    assert health_verdict(scan(state_dict)) == "no anomalies"
    memory = measure(lambda: scan(state_dict), 1)[1]
    loaded = torch.load(path, weights_only=True)
    ours = theirs = reading = float("inf")
    for _ in range(repeats):
        ours = min(ours, measure(lambda: scan(state_dict), 1)[0])
        reading = min(reading, measure(lambda: read(path), 1)[0])
        theirs = min(theirs, aminmax(loaded))
    nbytes = state_dict.nbytes / 1e9
    paces = (f"{nbytes / seconds:.1f}" for seconds in (ours, theirs, reading))
    ratios = (f"{other / ours:.2f}" for other in (theirs, reading))
    cells = (*paces, *ratios, f"{memory / MB:.0f}")
    cells = tuple("n/a" if cell in {"0.0", "inf"} else cell for cell in cells)
    name = str(dtype).removeprefix("torch.")
    print(f"{name:16}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


def aminmax(tensors: dict[str, torch.Tensor]) -> float:
    """Seconds; infinite for a dtype that torch.aminmax does not take."""
    try:
        return measure(lambda: [torch.aminmax(tensor) for tensor in tensors.values()], 1)[0]
    except NotImplementedError:
        return float("inf")


def read(path: Path) -> None:
    half = path.stat().st_size // 2

    def read_half(start: int) -> None:
        buffer = bytearray(CHUNK)
        with path.open("rb", buffering=0) as file:
            for at in range(start, start + half, CHUNK):
                os.preadv(file.fileno(), [buffer], at)

    threads = [threading.Thread(target=read_half, args=(start,)) for start in (0, half)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
