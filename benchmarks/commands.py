"""How much CPU time `loupe`'s commands take, relative to importing a library alone.

    python benchmarks/commands.py [--repeats 5]

Each command is a process of its own; its CPU time is that of all its threads, user and system, and
the least of the repeats counts. A busy machine lengthens it less than the time on the clock. A run
before them, which does not count, compiles the modules, as a first call does: Python keeps them in
a folder of the benchmark's own. The files have a ResNet's weights: in a DataParallel, under other
names, with the layers of no known model. Beside them the imports that a script of one's own would
begin with.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet50

ROOT = Path(__file__).resolve().parent.parent

LOUPE = "import sys; from core.cli import main; sys.exit(main())"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        imported = {
            library: cpu_seconds(["-c", f"import {library}"], repeats, folder)
            for library in ("torch", "torchvision", "timm")
        }
        print(f"{'':48}{'CPU':>8}{'/ import torch':>16}")
        for library, seconds in imported.items():
            report(f"import {library}", seconds, imported["torch"])
        write_files(folder)
        for words in commands(folder):
            seconds = cpu_seconds(["-c", LOUPE, *words], repeats, folder)
            shown = ["loupe", *(Path(word).name if os.sep in word else word for word in words)]
            report(" ".join(shown), seconds, imported["torch"])


def commands(folder: Path) -> list[list[str]]:
    run, renamed, other = (str(folder / name) for name in ("run.pth", "renamed.pth", "other.pth"))
    fixed = ["--force", "--best"]
    return [
        ["inspect", run],
        ["identify", run],
        ["identify", renamed],
        ["identify", other],
        ["fit", run, "--arch", "resnet50"],
        ["fit", run, "--arch", "timm:resnet50"],
        ["fix", run, str(folder / "fixed.pth"), *fixed],
        ["fix", renamed, str(folder / "fixed.safetensors"), *fixed],
    ]


def write_files(folder: Path) -> None:
    torch.manual_seed(0)
    model = resnet50(num_classes=10)
    torch.save({"state_dict": nn.DataParallel(model).state_dict()}, folder / "run.pth")
    tensors = model.state_dict()
    layers = {layer: number for number, layer in enumerate(dict.fromkeys(map(layer_of, tensors)))}
    renamed = {f"n{layers[layer_of(key)]}.{leaf_of(key)}": tensors[key] for key in tensors}
    torch.save(renamed, folder / "renamed.pth")
    widths = (3, 24, 40, 72, 120, 200, 328, 536)
    layered = nn.Sequential(*(nn.Conv2d(a, b, 3) for a, b in pairwise(widths)))
    torch.save(layered.state_dict(), folder / "other.pth")


def layer_of(key: str) -> str:
    return key.rpartition(".")[0]


def leaf_of(key: str) -> str:
    return key.rpartition(".")[2]


def cpu_seconds(words: Sequence[str], repeats: int, folder: Path) -> float:
    """The least CPU time of this Python with these words. Exits if the command fails.

    Compiled modules are kept in `folder`.
    """
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    times = []
    for _ in range(1 + repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, *words],
            check=False,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode not in (0, 1):  # 1: the file does not fit
            raise SystemExit(done.stderr)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times[1:])


def report(what: str, seconds: float, torch_seconds: float) -> None:
    print(f"{what:48}{seconds:>6.2f} s{seconds / torch_seconds:>14.2f}", flush=True)


if __name__ == "__main__":
    main()
