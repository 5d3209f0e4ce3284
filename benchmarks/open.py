"""Open beside torch.load, mmap, safe_open and picklescan on the same files: times, memory, growth.

    python benchmarks/open.py [--quick] [--gb 3.5] [--tensors 130] [--many 20000] [--repeats 7]

The files lie in a temporary folder, warm in the page cache, their zeros as holes, so that they take
little of the disk. All readers of a file take turns, so that a busy machine slows each of them, and
the best of the repeats counts; freeing what they return is not counted. Loupe gives all keys,
shapes, dtypes, metadata and verdicts, torch.load the tensors, safe_open is asked for each key's
shape and dtype. Memory is the growth of the peak resident set (VmHWM of Linux) in a process of its
own, over what the imports took. A reader is n/a where it does not take the format, or where the
machine has too little free memory for it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import safetensors
import torch
from picklescan.scanner import scan_file_path
from torch import nn

from benchmarks.peak_memory import peak as memory_peak
from benchmarks.peak_memory import reset_peak
from core.checkpoint import open_checkpoint

ROOT = Path(__file__).resolve().parent.parent
SHARDS = 4
WHOLE_IN_MEMORY = 0.35
"""Of the free memory, what torch.load may take."""

LOUPE, LOAD, MMAP, SAFE_OPEN, SCAN = "Loupe", "torch.load", "mmap=True", "safe_open", "picklescan"
COLUMNS = (LOUPE, LOAD, MMAP, SAFE_OPEN, SCAN)
TITLE = 32
WIDTHS = {name: 12 if name == LOUPE else 24 for name in COLUMNS}


@dataclass(frozen=True, slots=True)
class Files:
    """One checkpoint on the disk: what is opened, the files it consists of, and its title.

    `whole` says that torch.load needs `weights_only=False`: it holds a model and no state_dict.
    """

    title: str
    path: Path
    parts: tuple[Path, ...]
    whole: bool = False

    @property
    def nbytes(self) -> int:
        return sum(part.stat().st_size for part in self.parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small files, in half a minute")
    parser.add_argument("--gb", type=float, help="size of the large files (3.5)")
    parser.add_argument("--tensors", type=int, default=130, help="tensors of the large files (130)")
    parser.add_argument("--many", type=int, help="tensors of the small files (20000)")
    parser.add_argument("--repeats", type=int, help="how often each is measured (7)")
    parser.add_argument("--peak", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak(*options.peak))
        return
    gb = options.gb or (0.2 if options.quick else 3.5)
    many = options.many or (2_000 if options.quick else 20_000)
    repeats = options.repeats or (3 if options.quick else 7)
    warnings.simplefilter("ignore")
    tell_the_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count, size in ((options.tensors, int(gb * 1e9)), (many, many * 16)):
            heading(f"{count:,} tensors, {in_units(size)}")
            for files in each_format(folder, count, size):
                compare(files, repeats)
                clear(files)
        counts = (100, 1_000, 10_000) if options.quick else (100, 1_000, 10_000, 100_000)
        for write in (zip_file, safetensors_file):
            heading(f"growth with the tensors, {write.title}")
            for count in counts:
                grow(folder, write, count, count * 16, repeats)
        heading("growth with the bytes, 130 tensors, zip")
        for size in (10**7, 10**8, 10**9) if options.quick else (10**7, 10**8, 10**9, 8 * 10**9):
            grow(folder, zip_file, 130, size, repeats)
    tell_the_load()


def tell_the_machine() -> None:
    print(f"Python {platform.python_version()}, torch {torch.__version__}", end=", ")
    print(f"safetensors {safetensors.__version__}, {os.cpu_count()} CPUs")
    tell_the_load()


def tell_the_load() -> None:
    load = os.getloadavg()[0]
    # This process itself is one of those that run.
    busy = "" if load < 1.5 else ": busy, so take the ratios and not the times"
    print(f"load of the last minute {load:.1f}{busy}")


def heading(title: str) -> None:
    columns = "".join(f"{name:>{WIDTHS[name]}}" for name in COLUMNS)
    print(f"\n{title}\n{'':{TITLE}}{columns}", flush=True)


def compare(files: Files, repeats: int) -> None:
    """A line of times with their ratios to Loupe's, and one of memory."""
    readers = readers_of(files)
    best = alternating(readers, repeats)
    line(files.title, [in_time(best, name) for name in COLUMNS])
    peaks = {name: f"{peak_of(name, files):.1f} MB" for name in readers if name != SCAN}
    line("  growth of peak memory", [peaks.get(name, "") for name in COLUMNS])


def grow(folder: Path, write: Writer, count: int, size: int, repeats: int) -> None:
    """A line of times for one size, Loupe's for each tensor at its end."""
    files = write(folder, count, size)
    few = max(2, repeats // (1 + count // 20_000))
    readers = {name: read for name, read in readers_of(files).items() if name != SCAN}
    best = alternating(readers, few)
    each = f"{best[LOUPE] / count * 1e6:>8.2f} µs a tensor"
    line(f"  {count:,} tensors, {in_units(size)}", [in_time(best, name) for name in COLUMNS], each)
    clear(files)


def line(title: str, cells: Sequence[str], more: str = "") -> None:
    text = "".join(f"{cell:>{WIDTHS[name]}}" for name, cell in zip(COLUMNS, cells, strict=True))
    print(f"{title:{TITLE}}{text}{more}".rstrip(), flush=True)


def in_time(best: Mapping[str, float], name: str) -> str:
    if name not in best:
        return "n/a"
    ratio = "" if name == LOUPE else f" ({best[name] / best[LOUPE]:.1f}×)"
    return f"{best[name] * 1e3:,.2f} ms{ratio}"


def in_units(nbytes: int) -> str:
    return f"{nbytes / 1e9:g} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:g} MB"


# The readers of one checkpoint


Reader = Callable[[], object]


def readers_of(files: Files) -> dict[str, Reader]:
    """What can read it at all, and in the memory that there is."""
    readers: dict[str, Reader] = {LOUPE: lambda: open_checkpoint(files.path)}
    parts, safe = files.parts, not files.whole
    if files.parts[0].suffix == ".safetensors":
        readers[SAFE_OPEN] = lambda: [described_by_safe_open(part) for part in parts]
        return readers
    if files.nbytes < WHOLE_IN_MEMORY * free_memory():
        readers[LOAD] = lambda: [torch.load(part, weights_only=safe) for part in parts]
    if files.parts[0].suffix != ".legacy":
        readers[MMAP] = lambda: [torch.load(part, mmap=True, weights_only=safe) for part in parts]
    if all(scans(part) for part in parts):
        readers[SCAN] = lambda: [scan_file_path(str(part)) for part in parts]
    return readers


def scans(path: Path) -> bool:
    """Whether picklescan reads the file to its end, and not only to an error."""
    return not scan_file_path(str(path)).scan_err


def described_by_safe_open(path: Path) -> dict[str, tuple[list[int], str]]:
    with safetensors.safe_open(path, "pt") as file:
        slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118  # no mapping
        return {key: (found.get_shape(), found.get_dtype()) for key, found in slices.items()}


def free_memory() -> int:
    """Bytes that a process may take (proc(5), MemAvailable)."""
    told = Path("/proc/meminfo").read_text()
    return int(told.split("MemAvailable:")[1].split()[0]) * 1024


def alternating(readers: Mapping[str, Reader], repeats: int) -> dict[str, float]:
    """The best seconds of each reader, measured in turns; one that takes seconds goes twice."""
    best: dict[str, float] = {}
    for turn in range(repeats):
        for name, read in readers.items():
            if turn < 2 or best[name] < 1:
                best[name] = min(best.get(name, float("inf")), timed(read))
    return best


def timed(read: Reader) -> float:
    start = time.perf_counter()
    result = read()
    seconds = time.perf_counter() - start
    del result
    return seconds


# Memory


def peak_of(name: str, files: Files) -> float:
    """Growth of the peak resident set in MB, in a process of its own."""
    told = subprocess.run(
        [
            *(sys.executable, __file__, "--peak", name, "whole" if files.whole else ""),
            *map(str, (files.path, *files.parts)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    return int(told.stdout) / 1e6


def peak(name: str, whole: str, path: str, *parts: str) -> int:
    """Bytes by which this process's peak grows over one opening."""
    read = readers_of(Files("", Path(path), tuple(map(Path, parts)), bool(whole)))[name]
    before = reset_peak()
    result = read()
    grown = memory_peak() - before
    del result
    return grown


# The files


class Sparse:
    """A file that is written to in order, in which zeros become holes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes, as torch.save calls it."""
        view = memoryview(data).cast("B")
        for at in range(0, len(view), 1 << 20):
            part = view[at : at + (1 << 20)]
            if len(part) >= 4096 and part == bytes(len(part)):
                self._file.seek(len(part), os.SEEK_CUR)
            else:
                self._file.write(part)
        return len(view)

    def flush(self) -> None:
        """Give what is written to the system."""
        self._file.flush()

    def close(self) -> None:
        """End the file where the last bytes were written, though they be a hole."""
        self._file.truncate(self._file.tell())
        self._file.close()


def each_format(folder: Path, count: int, size: int) -> Iterator[Files]:
    """The same tensors in each format; a file is there until the next is asked for."""
    for write in (zip_file, legacy_file, whole_model, safetensors_file, bin_shards, safe_shards):
        yield write(folder, count, size)


class Writer:
    """A function that writes a checkpoint of so many tensors and bytes, by its title."""

    def __init__(self, title: str, write: Callable[[Path, int, int], tuple[Path, ...]]) -> None:
        self.title = title
        self._write = write

    def __call__(self, folder: Path, count: int, size: int) -> Files:
        parts = self._write(folder, count, size)
        path = parts[0] if len(parts) == 1 else parts[0].parent
        return Files(self.title, path, parts, whole=parts[0].name == "model.pth")


def zeros(count: int, size: int) -> dict[str, torch.Tensor]:
    """Tensors of zeros, which take no memory until they are written to."""
    numel = size // 4 // count
    return {f"layers.{index // 2}.{('weight', 'bias')[index % 2]}": torch.zeros(numel)
            for index in range(count)}  # fmt: skip


def save(value: object, path: Path, *, zipped: bool = True) -> Path:
    file = Sparse(path)
    torch.save(value, file, _use_new_zipfile_serialization=zipped)
    file.close()
    return path


def save_safetensors(tensors: Mapping[str, torch.Tensor], path: Path) -> Path:
    """As safetensors.torch.save_file, which would write the zeros out."""
    header, at = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape),
                        "data_offsets": [at, at + tensor.nbytes]}  # fmt: skip
        at += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + at)
    return path


class Layer(nn.Module):
    """A module of two parameters, of a class that Loupe does not know."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)


def module(count: int, size: int) -> nn.Module:
    values = list(zeros(count, size).values())
    pairs = zip(values[::2], values[1::2], strict=True)
    return nn.ModuleDict({"layers": nn.ModuleList(Layer(*pair) for pair in pairs)})


def shards(folder: Path, count: int, size: int, suffix: str) -> tuple[Path, ...]:
    """A folder of files with their index, as transformers' save_pretrained writes it."""
    (folder / "shards").mkdir(exist_ok=True)
    items = list(zeros(count, size).items())
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    write = save_safetensors if suffix == "safetensors" else save
    written, weight_map = [], {}
    for number in range(SHARDS):
        name = f"{stem}-{number + 1:05}-of-{SHARDS:05}.{suffix}"
        part = dict(items[number * count // SHARDS : (number + 1) * count // SHARDS])
        written.append(write(part, folder / "shards" / name))
        weight_map |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "shards" / f"{stem}.{suffix}.index.json").write_text(json.dumps(index))
    return tuple(written)


zip_file = Writer(
    "torch.save zip",
    lambda folder, count, size: (
        save({"epoch": 3, "state_dict": zeros(count, size)}, folder / "state.pth"),
    ),
)
legacy_file = Writer(
    "legacy stream",
    lambda folder, count, size: (save(zeros(count, size), folder / "state.legacy", zipped=False),),
)
whole_model = Writer(
    "whole model, torch.save(model)",
    lambda folder, count, size: (save(module(count, size), folder / "model.pth"),),
)
safetensors_file = Writer(
    "safetensors",
    lambda folder, count, size: (
        save_safetensors(zeros(count, size), folder / "state.safetensors"),
    ),
)
bin_shards = Writer(
    f"{SHARDS} shards, .bin",
    lambda folder, count, size: shards(folder, count, size, "bin"),
)
safe_shards = Writer(
    f"{SHARDS} shards, .safetensors",
    lambda folder, count, size: shards(folder, count, size, "safetensors"),
)


def clear(files: Files) -> None:
    """Remove what was written."""
    for part in files.parts:
        part.unlink()
    if files.path.is_dir():
        for rest in files.path.iterdir():
            rest.unlink()
        files.path.rmdir()


if __name__ == "__main__":
    main()
