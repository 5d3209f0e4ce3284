"""Everything in a checkpoint besides tensors, as JSON: epochs, learning rates, options."""

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
    LongNumber,
    Opaque,
    Storage,
    Tree,
    UnusualKey,
)
from core.checkpoint.pickles.key_names import Names, key_text
from core.checkpoint.pickles.numpy_values import array_values
from core.checkpoint.tree.discover import is_module
from core.wording import count, shape

Json: TypeAlias = str | int | float | bool | Sequence["Json"] | Mapping[str, "Json"] | None

MAX_NODES = 200_000
"""Values that are shown of one file."""

MAX_DEPTH = 32
MAX_KEY = 400
"""Characters that are shown of one key."""

MAX_TEXT = 20_000
"""Characters that are shown of one text."""

MAX_CHARACTERS = 10_000_000
"""Characters that are shown of one file."""

TRANSFORMS = "torchvision.transforms."
"""Modules without weights, whose settings say how images were prepared. Of other modules the class
alone is shown: what they hold is the model."""

MAX_BITS = 16_384
"""Bits of a number that is shown in full."""

MAX_NAMES = 5_000
"""Texts that are shown of one list; most often they are the names of classes."""

MAX_ITEMS = 64
"""Other values that are shown of one list; the rest becomes a count."""


def metadata_of(tree: Tree) -> dict[str, Json]:
    """The tree without its tensors, as JSON values.

    Tuples and sets become lists; keys, NaN and infinities become text; objects of unknown classes
    become dicts with their `class`. Long lists end in the number of items that are left out.
    """
    written = _Writer().write(tree, 0)
    if isinstance(written, Mapping):
        return dict(written)
    return {} if isinstance(written, _NoValue) else {"value": written}


class _NoValue:
    """The result for a value that consists only of tensors."""


_NO_VALUE = _NoValue()


class _Writer:
    def __init__(self) -> None:
        self.nodes = 0
        self.characters = 0

    def write(self, value: Tree, depth: int) -> Json | _NoValue:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            return "…"
        if isinstance(value, InertTensor | InertSubclass | Storage):
            return _NO_VALUE
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if -(1 << 63) <= value < 1 << 64:
                return value
            bits = value.bit_length()
            return hex(value) if bits <= MAX_BITS else f"a number of {count(bits)} bits"
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, UnusualKey):
            value = key_text(value)
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
            # Its order is by chance, so that two openings of a file would differ.
            return self.sequence(sorted(islice(value, MAX_NAMES + 1), key=_rank), depth)
        if isinstance(value, Opaque):
            return self.opaque(value, depth)
        if isinstance(value, InertArray):
            return self.array(value, depth)
        return _words(value)

    def mapping(self, items: Mapping[Key, Tree], depth: int) -> Json | _NoValue:
        written: dict[str, Json] = {}
        names = Names(items)
        for key, item in items.items():
            if self.nodes > MAX_NODES:
                written["…"] = "there is more"
                break
            if type(item) is InertTensor:
                self.nodes += 1
                continue
            written_item = self.write(item, depth + 1)
            if not isinstance(written_item, _NoValue):
                written[names.name(key, MAX_KEY)] = written_item
        return written if written or not items else _NO_VALUE

    def sequence(self, items: Sequence[Tree], depth: int) -> Json | _NoValue:
        most = MAX_NAMES if all(isinstance(item, str) for item in items[:MAX_NAMES]) else MAX_ITEMS
        written = [self.write(item, depth + 1) for item in items[:most]]
        shown: list[Json] = [item for item in written if not isinstance(item, _NoValue)]
        if items and not shown:
            return _NO_VALUE
        if len(items) > most:
            shown.append(f"… {len(items) - most:,} more")
        return shown

    def opaque(self, value: Opaque, depth: int) -> Json:
        if value.name.startswith("pathlib."):
            parts = [part for part in value.args[:MAX_ITEMS] if isinstance(part, str)]
            return "/".join(parts).replace("//", "/")[:MAX_TEXT]
        written: dict[str, Json] = {"class": value.name}
        state = value.state if isinstance(value.state, dict) else {}
        if is_module(value):
            if not value.name.startswith(TRANSFORMS):
                return written
            state = {key: state[key] for key in state if _is_setting(key)}
        names = Names()
        for key, item in chain(state.items(), value.items.items()):
            if self.nodes > MAX_NODES:
                break
            written_item = self.write(item, depth + 1)
            if not isinstance(written_item, _NoValue):
                written[names.name(key, MAX_KEY)] = written_item
        for name, items in (("args", value.args), ("items", value.elements)):
            written_item = self.sequence(items, depth + 1) if items else _NO_VALUE
            if not isinstance(written_item, _NoValue):
                written[name] = written_item
        if value.state is not None and not isinstance(value.state, dict):
            written_item = self.write(value.state, depth + 1)
            if not isinstance(written_item, _NoValue):
                written["state"] = written_item
        return written

    def array(self, value: InertArray, depth: int) -> Json:
        code = value.dtype.code if value.dtype else "unknown"
        sizes = shape(value.shape)
        names = code[:1] in ("U", "S", "O")
        values = array_values(value, MAX_NAMES if names else MAX_ITEMS)
        if values is None:
            return f"numpy array of {code}, {sizes}"
        if names:
            texts = self.sequence(values, depth + 1)
            return [] if isinstance(texts, _NoValue) else texts
        written = [self.write(item, depth + 1) for item in values]
        return [item for item in written if not isinstance(item, _NoValue)]


def _is_setting(key: Key) -> bool:
    return isinstance(key, str) and not key.startswith("_") and key != "training"


def _rank(member: Tree) -> tuple[bool, float, str]:
    """The place of a set's member among the others: numbers by their value, then texts."""
    if isinstance(member, int | float):
        return False, member, ""
    return True, 0, key_text(member) if isinstance(member, str | UnusualKey) else str(member)


def _words(value: Global | InertDtype | LongBytes | LongNumber | complex | bytes) -> str:
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
    """The version of PyTorch that wrote the file, if the training script saved it."""
    places = [metadata, *(metadata.get(name) for name in VERSION_PLACES)]
    for place in places:
        if not isinstance(place, Mapping):
            continue
        for key in VERSION_KEYS:
            value = place.get(key)
            if isinstance(value, str) and value[:1].isdigit():
                return value
    return None
