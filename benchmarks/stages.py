"""Where the time of opening goes, and what a C unpickler would make of it.

    python benchmarks/stages.py [--tensors 20000] [--repeats 15]

The stages of opening a torch.save zip, of a state_dict and of a whole model, are timed one by one,
in CPU time of this process, the best of the repeats. The C way is Python's own pickle.Unpickler
with the same inert constructors, on the file that this command has made itself; before it could see
a stranger's file, each opcode's length, place in the memo and nesting would have to be checked, for
which the plainest loop over the opcodes stands.
"""

from __future__ import annotations

import argparse
import gc
import io
import pickle
import pickletools
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks.open import module
from core.checkpoint import open_checkpoint
from core.checkpoint.containers import LocalFile, open_archive
from core.checkpoint.pickles import CONSTRUCTORS, Global, Mentions, Tree, unpickle
from core.checkpoint.readers import storage_name
from core.checkpoint.tree import entry_maker, find_state_dicts, storage_of

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tensors", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.pth"
        print("a state_dict")
        torch.save({f"layer{i}.weight": torch.zeros(4) for i in range(options.tensors)}, path)
        measure(path, options.tensors, options.repeats)
        print("\na whole model, of modules with two parameters each")
        torch.save(module(options.tensors, options.tensors * 16), path)
        measure(path, options.tensors, options.repeats)
        loading, _ = best(lambda: torch.load(path, mmap=True, weights_only=False), options.repeats)
        print(f"{'torch.load(mmap=True, weights_only=False)':46}{loading * 1e3:8.1f} ms")


def measure(path: Path, tensors: int, repeats: int) -> None:
    source = LocalFile(path)
    whole, _ = best(lambda: open_checkpoint(path), repeats)

    def row(title: str, seconds: float) -> None:
        print(f"{title:46}{seconds * 1e3:8.1f} ms{seconds / whole:7.0%}"
              f"{seconds / tensors * 1e6:8.2f} µs a tensor", flush=True)  # fmt: skip

    row("opening", whole)
    directory, archive = best(lambda: open_archive(source), repeats)
    row("  the zip's directory", directory)
    name = next(name for name in archive.members if name.endswith("data.pkl"))
    folder = name.removesuffix("data.pkl")
    data = archive.read(name, 1 << 30)
    reading, unpickled = best(lambda: unpickle(data, Mentions(), storage_of), repeats)
    row("  the pickle, opcode by opcode or run by run", reading)
    make = entry_maker(lambda storage: archive.record(storage_name(folder, storage)))
    describing, _ = best(lambda: find_state_dicts(unpickled.tree, make), repeats)
    row("  the members' own headers, and the entries", describing)
    row("  notes, metadata, verdicts, freeing", whole - directory - reading - describing)
    copying, _ = best(lambda: source.read(0, source.size), repeats)
    row("copying the whole file from the page cache", copying)
    c_way, _ = best(lambda: CUnpickler(data).load(), repeats)
    row("the pickle by pickle.Unpickler (C), unchecked", c_way)
    checking, _ = best(lambda: walk(data), repeats)
    row("a loop over the pickle's opcodes, and no more", checking)


def best(action: Callable[[], T], repeats: int) -> tuple[float, T]:
    """The least CPU seconds, and a result; the collector of cycles rests, as in opening."""
    times = []
    for _ in range(repeats):
        gc.disable()
        start = time.process_time()
        result = action()
        times.append(time.process_time() - start)
        gc.enable()
    return min(times), result


class StandIn:
    """An object of a class that is not imported: it keeps what it is called with."""

    def __init__(self, *args: Tree) -> None:
        self.args = args

    def __setstate__(self, state: Tree) -> None:
        self.state = state


class CUnpickler(pickle.Unpickler):
    """Python's unpickler, given our constructors, and classes that do nothing for other names."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))

    def find_class(self, module: str, name: str) -> Callable[..., Tree] | Global:  # type: ignore[override]
        """One of our functions, the name of a storage's class, or a class."""
        qualified = f"{module}.{name}"
        if name.endswith("Storage"):
            return Global(qualified)
        return CONSTRUCTORS.get(qualified) or type(name, (StandIn,), {})

    def persistent_load(self, identifier: Tree) -> Tree:
        """A storage's description."""
        return storage_of(identifier)


WIDTHS = {
    ord(opcode.code): 0 if opcode.arg is None else opcode.arg.n for opcode in pickletools.opcodes
}
"""Bytes of each opcode's argument; -1 for a line, -2 to -5 for a length before it."""

LENGTHS = {-2: struct.Struct("<B"), -3: struct.Struct("<i"), -4: struct.Struct("<I")}


def walk(data: bytes) -> int:
    """Step from opcode to opcode without looking at what they do; how many there are."""
    at = count = 0
    while at < len(data):
        op = data[at]
        width = WIDTHS[op]
        at += 1
        count += 1
        if width >= 0:
            at += width
        elif width == -1:
            at = data.index(b"\n", data.index(b"\n", at) + 1) + 1
        else:
            length = LENGTHS[width]
            at += length.size + length.unpack_from(data, at)[0]
    return count


if __name__ == "__main__":
    main()
