"""How long it takes to find out which tensor is which, by the number of tensors.

    python benchmarks/pair.py [--tensors 500 5000] [--repeats 3]

A network of transformer blocks is written twice, the second time under other names: as it is, in a
format without checksums, after more training, from another seed, and with all tensors of one
shape. The best of the repeats counts. `right` are the pairs that are taken and true, `wrong` those
that are taken and not. Beside it the plain way for renamed tensors: torch.equal of every tensor
with each one of the same shape, both files loaded (loading is not counted).
"""

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from safetensors.torch import save_file

from core.checkpoint import StateDict, open_checkpoint
from core.compare.pairing import pair

Tensors = dict[str, torch.Tensor]
WIDTH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tensors", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{'':38}{'tensors':>8}{'Loupe':>10}{'torch':>12}{'ratio':>8}{'right':>8}{'wrong':>7}")
    for count in options.tensors:
        torch.manual_seed(0)
        network = transformer(count)
        names = {key: in_other_words(key) for key in network}
        tuned = {key: value + 0.1 * torch.randn_like(value) for key, value in network.items()}
        other = {key: torch.randn_like(value) for key, value in network.items()}
        alike = {f"part{index}.w": torch.randn(WIDTH, WIDTH) for index in range(count)}
        moved = {key: value + 0.1 * torch.randn_like(value) for key, value in alike.items()}
        cases: list[tuple[str, Tensors, Tensors, Mapping[str, str], str]] = [
            ("the same names", network, network, {key: key for key in network}, ".pth"),
            ("renamed", network, network, names, ".pth"),
            ("renamed, safetensors", network, network, names, ".safetensors"),
            ("renamed, trained further", network, tuned, names, ".pth"),
            ("renamed, another seed", network, other, names, ".pth"),
            ("one shape, renamed, trained further", alike, moved, other_names(alike), ".pth"),
        ]
        for case in cases:
            report(*case, repeats=options.repeats)


def transformer(count: int) -> Tensors:
    shapes = {
        **{"attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH)},
        **{"mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH)},
        **{"norm1": (WIDTH,), "norm2": (WIDTH,)},
    }
    tensors: Tensors = {}
    block = 0
    while len(tensors) < count:
        for name, shape in shapes.items():
            tensors[f"blocks.{block}.{name}.weight"] = torch.randn(shape)
            tensors[f"blocks.{block}.{name}.bias"] = torch.randn(shape[:1])
        block += 1
    return dict(list(tensors.items())[:count])


def in_other_words(key: str) -> str:
    for word, other in (("blocks", "stack"), ("attn", "heads"), ("fc", "dense"), ("norm", "scale")):
        key = key.replace(word, other)
    return key


def other_names(tensors: Tensors) -> dict[str, str]:
    return {key: key.replace("part", "piece") for key in tensors}


def report(
    title: str, a: Tensors, b: Tensors, names: Mapping[str, str], suffix: str, *, repeats: int
) -> None:
    renamed = {names[key]: value for key, value in b.items()}
    with tempfile.TemporaryDirectory() as folder:
        opened = [
            written(tensors, Path(folder) / f"{side}{suffix}")
            for side, tensors in (("a", a), ("b", renamed))
        ]
        found = pair(*opened)
        ours = best(lambda: pair(*opened), repeats)
    theirs = best(lambda: plainly(a, renamed), 1) if b is a and names != {k: k for k in a} else None
    right = sum(names[one.a.key] == one.b.key for one in found.pairs)
    told = f"{theirs * 1e3:>9.0f} ms{theirs / ours:>7.1f}×" if theirs else f"{'–':>12}{'–':>8}"
    wrong = len(found.pairs) - right
    print(f"{title:38}{len(a):>8,}{ours * 1e3:>7.0f} ms{told}{right:>8,}{wrong:>7,}")


def written(tensors: Tensors, path: Path) -> StateDict:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return open_checkpoint(path).state_dict()


def plainly(a: Tensors, b: Tensors) -> dict[str, str]:
    by_shape: dict[torch.Size, list[str]] = {}
    for key, value in b.items():
        by_shape.setdefault(value.shape, []).append(key)
    return {
        key: other
        for key, value in a.items()
        for other in by_shape[value.shape]
        if torch.equal(value, b[other])
    }


def best(work: Callable[[], object], repeats: int) -> float:
    fastest = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest


if __name__ == "__main__":
    main()
