"""Checkpoints whose every text is hostile: Markdown, HTML, addresses, icons, control characters,
halves of characters, and 100,000 characters."""

import json
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

HOST = "evil.example"
"""Where every picture and link of these files points."""

TEXTS = (
    f"![p](http://{HOST}/p.png)",
    f"[Sign in](http://{HOST}/login)",
    f"<img src=http://{HOST}/i.png>",
    f'<a href="http://{HOST}/a">x</a>',
    f"http://{HOST}/bare",
    f"www.{HOST}",
    f"me@{HOST}",
    ":material/delete:",
    ":red[danger]",
    ":red-background[danger]",
    "$x^{2}$",
    "&lt;b&gt;&#33;",
    "line\nbreak\r\n# heading",
    "\x1b[31mred\x1b[0m\x07",
    "\u202egnp.exe",
    "`code` and `` ` ``",
    f"`a`![q](http://{HOST}/q.png)`b`",
    "half \ud800 of one",
    "a -> b",
    "L" * 100_000,
    "wide " * 20_000,
    "\u0301" * 1_000,
)


class _Named:
    """Pickles as a call of a Python global of any name."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


def weights(seed: int) -> "OrderedDict[str, torch.Tensor]":
    """A tensor under each of the texts, of which some change with the seed."""
    drawn = torch.Generator().manual_seed(seed)
    return OrderedDict(
        (f"{text}.weight", torch.randn(3, 4, generator=drawn) + number)
        for number, text in enumerate(TEXTS)
    )


def write_pth(path: Path, seed: int) -> None:
    """A real torch.save file: keys, paths of state_dicts, class names and metadata are hostile."""
    document: dict[str, Any] = {
        "state_dict": weights(seed),
        f"![ema](http://{HOST}/e.png)": weights(seed + 1),
        "half \ud801 path": weights(seed + 2),
        "S" * 100_000: weights(seed + 3),
        "classes": list(TEXTS),
        "arch": f"![arch](http://{HOST}/arch.png)",
        "epoch": seed,
        **{text: text for text in TEXTS},
        "config": {text: {"value": [text, seed]} for text in TEXTS},
    }
    torch.save(document, path)


def write_dangerous(path: Path) -> None:
    """A pickle whose globals have hostile names."""
    calls = b"".join(
        f"c{module}\n{name}\n)R0".encode("utf-8", "surrogatepass")
        for module, name in (
            ("os", "system"),
            (f"![p](http://{HOST}/g.png)", "x"),
            ("posix", f"[Sign in](http://{HOST})"),
            (":material/delete:", "www." + HOST),
            ("builtins", "L" * 200),
        )
    )
    document = {"weight": torch.ones(2, 2).numpy()}
    path.write_bytes(b"\x80\x02" + calls + pickle.dumps(document, 2)[2:])


def write_safetensors(path: Path) -> None:
    """Hostile keys and metadata, by hand: the library refuses some of them."""
    texts = [text.encode("utf-8", "replace").decode() for text in TEXTS]
    header: dict[str, Any] = {"__metadata__": {text: text for text in texts}}
    for number, text in enumerate(texts):
        offsets = [16 * number, 16 * number + 16]
        header[text] = {"dtype": "F32", "shape": [4], "data_offsets": offsets}
    words = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(words)) + words + bytes(16 * len(texts)))


def write_page(path: Path) -> None:
    """A web page saved under a checkpoint's name."""
    path.write_text(
        f"<!DOCTYPE html><html><head><title>![p](http://{HOST}/t.png) www.{HOST} "
        f":material/delete: {'T' * 100_000}</title></head></html>"
    )


def write_all(folder: Path) -> None:
    """All of them, by these names."""
    folder.mkdir(parents=True, exist_ok=True)
    write_pth(folder / f"a ![n](http:) :red[x] www.{HOST}.pth", 1)
    write_pth(folder / "b.pth", 2)
    write_dangerous(folder / "dangerous.pkl")
    write_safetensors(folder / "c.safetensors")
    write_page(folder / "page.pth")
