"""Everything in a checkpoint that is no tensor, as JSON: epochs, learning rates, options."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import TypeAlias

from core.checkpoint.pickles.inert import (
    Global,
    InertArray,
    InertDtype,
    InertSubclass,
    InertTensor,
    Key,
    LongBytes,
    Opaque,
    Storage,
    Tree,
)
from core.checkpoint.pickles.numpy_values import array_values
from core.checkpoint.tree.discover import is_module

Json: TypeAlias = str | int | float | bool | Sequence["Json"] | Mapping[str, "Json"] | None

MAX_NODES = 200_000
"""Values shown of one file."""

MAX_DEPTH = 32
MAX_KEY = 400
"""Characters shown of one name."""

MAX_TEXT = 20_000
"""Characters shown of one text."""

MAX_CHARACTERS = 10_000_000
"""Characters shown of one file."""

MAX_NAMES = 5_000
"""Texts shown of one list: the names of its classes, most often."""

MAX_ITEMS = 64
"""Other values shown of one list, before its rest becomes a count."""


def metadata_of(tree: Tree) -> dict[str, Json]:
    """The tree without its tensors, JSON-able.

    Tuples and sets become lists, keys text, NaN and infinities text, objects of unknown classes
    mappings with their `class`. Long lists end in the count of what is left out.
    """
    found = _Writer().write(tree, 0)
    if isinstance(found, Mapping):
        return dict(found)
    return {} if isinstance(found, _Nothing) else {"value": found}


class _Nothing:
    """Where there was nothing but tensors."""


_NOTHING = _Nothing()


class _Writer:
    def __init__(self) -> None:
        self.nodes = 0
        self.characters = 0

    def write(self, value: Tree, depth: int) -> Json | _Nothing:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            return "…"
        if isinstance(value, InertTensor | InertSubclass | Storage):
            return _NOTHING
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if -(1 << 63) <= value < 1 << 64 else hex(value)[:MAX_TEXT]
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, str):
            self.characters += min(len(value), MAX_TEXT)
            if self.characters > MAX_CHARACTERS:
                return "…"
            shown = value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
            return shown.encode("utf-8", "replace").decode("utf-8")
        if isinstance(value, dict):
            return self.mapping(value, depth)
        if isinstance(value, list | tuple):
            return self.sequence(value, depth)
        if isinstance(value, set):
            return self.sequence(list(islice(value, MAX_NAMES + 1)), depth)
        if isinstance(value, Opaque):
            return self.opaque(value, depth)
        if isinstance(value, InertArray):
            return self.array(value, depth)
        return _words(value)

    def mapping(self, items: Mapping[Key, Tree], depth: int) -> Json | _Nothing:
        written: dict[str, Json] = {}
        for key, item in items.items():
            if self.nodes > MAX_NODES:
                written["…"] = "there is more"
                break
            if type(item) is InertTensor:
                self.nodes += 1
                continue
            found = self.write(item, depth + 1)
            if not isinstance(found, _Nothing):
                written[str(key)[:MAX_KEY]] = found
        return written if written or not items else _NOTHING

    def sequence(self, items: Sequence[Tree], depth: int) -> Json | _Nothing:
        most = MAX_NAMES if all(isinstance(item, str) for item in items[:MAX_NAMES]) else MAX_ITEMS
        written = [self.write(item, depth + 1) for item in items[:most]]
        kept: list[Json] = [item for item in written if not isinstance(item, _Nothing)]
        if items and not kept:
            return _NOTHING
        if len(items) > most:
            kept.append(f"… {len(items) - most:,} more")
        return kept

    def opaque(self, value: Opaque, depth: int) -> Json:
        if value.name.startswith("pathlib."):
            parts = [part for part in value.args[:MAX_ITEMS] if isinstance(part, str)]
            return "/".join(parts).replace("//", "/")[:MAX_TEXT]
        written: dict[str, Json] = {"class": value.name}
        if is_module(value):
            return written
        state = value.state if isinstance(value.state, dict) else {}
        for key, item in chain(state.items(), value.items.items()):
            if self.nodes > MAX_NODES:
                break
            found = self.write(item, depth + 1)
            if not isinstance(found, _Nothing):
                written[str(key)[:MAX_KEY]] = found
        for name, items in (("args", value.args), ("items", value.elements)):
            found = self.sequence(items, depth + 1) if items else _NOTHING
            if not isinstance(found, _Nothing):
                written[name] = found
        if value.state is not None and not isinstance(value.state, dict):
            found = self.write(value.state, depth + 1)
            if not isinstance(found, _Nothing):
                written["state"] = found
        return written

    def array(self, value: InertArray, depth: int) -> Json:
        code = value.dtype.code if value.dtype else "unknown"
        shape = " × ".join(map(str, value.shape)) or "scalar"
        names = code[:1] in ("U", "S", "O")
        values = array_values(value, MAX_NAMES if names else MAX_ITEMS)
        if values is None:
            return f"numpy array of {code}, {shape}"
        if names:
            found = self.sequence(values, depth + 1)
            return [] if isinstance(found, _Nothing) else found
        written = [self.write(item, depth + 1) for item in values]
        return [item for item in written if not isinstance(item, _Nothing)]


def _words(value: Global | InertDtype | LongBytes | complex | bytes) -> str:
    if isinstance(value, Global):
        return value.name
    if isinstance(value, InertDtype):
        return f"numpy dtype {value.code}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, LongBytes):
        return f"{value.source.size:,} bytes"
    return str(value)


VERSION_KEYS = ("torch_version", "pytorch_version", "torch", "pytorch")
VERSION_PLACES = ("versions", "version", "env", "environment", "packages")


def torch_version(metadata: Mapping[str, Json]) -> str | None:
    """The PyTorch that wrote the file, where the training script noted it."""
    places = [metadata, *(metadata.get(name) for name in VERSION_PLACES)]
    for place in places:
        if not isinstance(place, Mapping):
            continue
        for key in VERSION_KEYS:
            value = place.get(key)
            if isinstance(value, str) and value[:1].isdigit():
                return value
    return None
