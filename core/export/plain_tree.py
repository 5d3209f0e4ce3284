"""A checkpoint's tree as values that can be written, with one state_dict in it replaced.

An object of a class that is not plain data is never written: it is left out and reported.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from core.checkpoint import ITEMSIZES, Checkpoint, StateDict, TensorEntry
from core.checkpoint.pickles import (
    Global,
    InertArray,
    InertDict,
    InertDtype,
    InertSubclass,
    InertTensor,
    InlineStorage,
    Key,
    LongBytes,
    LongNumber,
    Names,
    Opaque,
    Storage,
    Tree,
    UnusualKey,
    array_tensor,
    array_values,
)
from core.checkpoint.tree import PACKED_PARAMS, ROLES, inline_record
from core.export.exported import LeftOut
from core.export.pth_writer import weights_dict
from core.wording import count, counted
from core.wording import shape as shape_words

MAX_DEPTH = 64
"""The most levels of nesting, as for tensors (core/checkpoint/tree/discover.py)."""

MAX_BITS = 2_000
"""The most bits of a whole number that torch.load(weights_only=True) reads."""

MAX_VALUES = 100_000
"""The most numbers of a numpy array that becomes a list."""

MAX_PATH = 2_000
"""The most characters of a path in the tree."""

MAX_REPORTED = 1_000
"""The most values that are reported one by one; those beyond are counted by part."""

TRAINING_STATE = frozenset(
    (
        *(name for name, role in ROLES.items() if role == "optimizer"),
        *("optimizer_state", "optim_state_dict", "optimizer_states", "lr_schedulers", "schedulers"),
        *("lr_scheduler_state_dict", "scheduler_state_dict", "scheduler_state"),
        *("grad_scaler", "scaler_state_dict", "amp_scaler", "loss_scaler", "loops", "callbacks"),
        *("rng_state", "rng_states", "random_rng_state", "cuda_rng_state", "torch_rng_state"),
        *("numpy_rng_state", "np_rng_state"),
    )
)
"""Keys under which training scripts keep what only resuming the training needs."""

NAMESPACES = ("argparse.Namespace", "types.SimpleNamespace")
"""Classes that contain plain values by name; they are kept as dictionaries."""


@dataclass(frozen=True, slots=True)
class Written:
    """A tree of plain values with TensorEntry in place of tensors; None if nothing is left.

    `path` is the place of the weights, also if they are not in the tree; `left_out` are the values
    that the tree does not contain as they were.
    """

    tree: object
    path: str
    left_out: tuple[LeftOut, ...]


def written_tree(checkpoint: Checkpoint, state_dict: StateDict, *, tensors: bool) -> Written:
    """The checkpoint's tree, with `state_dict` in place of the one that it came from.

    Without `tensors`, all tensors and the state of a training are left out: metadata remains.
    """
    walk = _Walk(checkpoint, state_dict, tensors=tensors)
    tree = walk.value(checkpoint.tree, "", state_dict.path, 0)
    plain = None if isinstance(tree, _Nothing) else tree
    return Written(plain, walk.path, walk.all_left_out())


class _Nothing:
    """In place of a value that is not kept; None would be a value."""


_NOTHING = _Nothing()


class _Walk:
    """One walk through a checkpoint's tree; `path` is where the weights were put."""

    def __init__(self, checkpoint: Checkpoint, state_dict: StateDict, *, tensors: bool) -> None:
        self.state_dicts = checkpoint.state_dicts
        self.state_dict = state_dict
        self.replaced = checkpoint.choices.get(state_dict.path, StateDict(()))
        self.parts = checkpoint.parts(state_dict.path)
        self.tensors = tensors
        self.path = ""
        self.placed = False
        self.left_out: list[LeftOut] = []
        self.unreported = Counter[tuple[str, str]]()
        self.done: dict[int, object] = {}
        self.above: set[int] = set()

    def value(self, value: Tree, path: str, below: str | None, depth: int) -> object:
        """What is kept of the value at `path`.

        `below` is the path from the value to the weights; None if they are not below it.
        """
        if below is not None and not self.placed:
            if below == "" or isinstance(value, Opaque | InertSubclass | InertArray):
                return self.place(value, path, depth)
        elif id(value) in self.done:
            return self.done[id(value)]
        if isinstance(value, dict | list | tuple | set | Opaque):
            if depth >= MAX_DEPTH or id(value) in self.above:
                what = "nested too deeply" if depth >= MAX_DEPTH else "a container of itself"
                return self.leave(path, what)
            self.above.add(id(value))
            kept = self.container(value, path, below, depth)
            self.above.discard(id(value))
            if below is None:
                self.done[id(value)] = kept
            return kept
        return self.plain(value, path)

    def place(self, value: Tree, path: str, depth: int) -> object:
        """The weights in place of the value, and next to them what in it is not a tensor."""
        self.placed = True
        self.path = path
        others: dict[object, object] = {}
        if isinstance(value, dict):
            names = Names(value)
            for key, item in value.items():
                name = names.name(key)
                if _belongs(name, item, self.replaced) or _join(path, name) in self.parts:
                    continue
                if not isinstance(item, InertArray):
                    self.put(others, key, name, item, path, None, depth)
                    continue
                numbers = self.numbers(item, _join(path, name))  # as a tensor it would be a weight
                plain = _plain_key(key)
                if not isinstance(numbers, _Nothing) and not isinstance(plain, _Nothing):
                    others[plain] = numbers
        elif self.tensors and isinstance(value, Opaque):
            self.leave(path, f"an object of the class {value.name}", "its weights alone")
        if not self.tensors:
            return others or _NOTHING
        for taken in [key for key in others if key in self.state_dict]:
            self.leave(_join(path, taken), "a value with a repaired tensor's key")
            del others[taken]
        return weights_dict(self.state_dict, others)

    def container(
        self,
        value: dict[Key, Tree] | list[Tree] | tuple[Tree, ...] | set[Key] | Opaque,
        path: str,
        below: str | None,
        depth: int,
    ) -> object:
        """What is kept of a value that contains others."""
        if isinstance(value, Opaque):
            return self.opaque(value, path, depth)
        if isinstance(value, dict):
            attributes = value.attributes if isinstance(value, InertDict) else None
            copy: dict[object, object] = OrderedDict() if attributes and self.tensors else {}
            names = Names(value)
            for key, item in value.items():
                self.put(copy, key, names.name(key), item, path, below, depth)
            if isinstance(copy, OrderedDict):
                self.attributes(copy, attributes, path, depth)
            return copy if copy or not value else _NOTHING
        if isinstance(value, set):
            return self.members(value, path)
        items = [
            self.tensor(item, path, str(at))
            if isinstance(item, InertTensor | InertSubclass | Storage)
            else self.value(item, _join(path, at), _beyond(below, at), depth + 1)
            for at, item in enumerate(value)
        ]
        kept = [item for item in items if not isinstance(item, _Nothing)]
        if items and not kept:
            return _NOTHING
        if self.tensors:  # The other items keep their positions.
            kept = [None if isinstance(item, _Nothing) else item for item in items]
        return tuple(kept) if isinstance(value, tuple) else kept

    def members(self, value: set[Key], path: str) -> object:
        """What is kept of a set."""
        plain = {_plain_key(key) for key in value}
        if _NOTHING in plain:
            self.leave(path, "a set with objects in it")
        kept = plain - {_NOTHING}
        return kept if kept or not value else _NOTHING

    def put(
        self,
        mapping: dict[object, object],
        key: Key,
        name: str,
        item: Tree,
        path: str,
        below: str | None,
        depth: int,
    ) -> None:
        """Put what is kept of an item into a mapping; `name` is its key's in paths."""
        item_path = _join(path, name)
        plain = _plain_key(key)
        if isinstance(plain, _Nothing):
            self.leave(item_path, "a value whose key is an object")
        elif not self.tensors and name.lower() in TRAINING_STATE:
            pass
        elif isinstance(item, InertTensor | InertSubclass | Storage):
            entry = self.tensor(item, path, name)
            if not isinstance(entry, _Nothing):
                mapping[plain] = entry
        else:
            kept = self.value(item, item_path, _beyond(below, name), depth + 1)
            if not isinstance(kept, _Nothing):
                mapping[plain] = kept

    def attributes(
        self, mapping: OrderedDict[object, object], attributes: Tree, path: str, depth: int
    ) -> None:
        """Set torch's `_metadata` of a state_dict, the versions of its modules."""
        if isinstance(attributes, dict) and isinstance(attributes.get("_metadata"), dict):
            kept = self.value(attributes["_metadata"], _join(path, "_metadata"), None, depth + 1)
            if isinstance(kept, dict):
                mapping._metadata = kept  # type: ignore[attr-defined]  # an OrderedDict

    def tensor(self, tensor: Tree, path: str, key: str) -> object:
        """The entry of a tensor in the state_dict that it is a part of."""
        if not self.tensors:
            return _NOTHING
        above, _, group = path.rpartition(".")
        entry = self.entry(path, key) or self.entry(above, f"{group}.{key}")
        if entry is not None:
            return entry
        what = "a tensor outside a mapping"
        if isinstance(tensor, InertSubclass):
            what = f"a {tensor.name}"
        return self.leave(_join(path, key), what)

    def entry(self, path: str, key: str) -> TensorEntry | None:
        """The entry of a key in the state_dict at a path; None if there is none."""
        state_dict = self.state_dicts.get(path)
        return None if state_dict is None else state_dict.get(key)

    def opaque(self, value: Opaque, path: str, depth: int) -> object:
        """The plain values of a few classes, or a pickled model's weights; others are left out."""
        if value.name.startswith("pathlib."):
            text = "/".join(part for part in value.args if isinstance(part, str))
            return text.replace("//", "/")
        if value.name in NAMESPACES and isinstance(value.state, dict):
            self.leave(path, f"an object of the class {value.name}", "a dictionary")
            return self.container(value.state, path, None, depth)
        weights = self.state_dicts.get(path) if self.tensors else None
        if weights is not None:
            self.leave(path, f"an object of the class {value.name}", "its weights alone")
            return weights_dict(weights, {})
        return self.leave(path, f"an object of the class {value.name}")

    def plain(self, value: Tree, path: str) -> object:
        """What is kept of a value that contains no other."""
        if value is None or isinstance(value, bool | float | complex | str | bytes):
            return value
        if isinstance(value, int):
            short = value.bit_length() <= MAX_BITS
            return value if short else self.leave(path, "a number with too many digits")
        if isinstance(value, LongNumber):
            return self.leave(path, "a number with too many digits")
        if isinstance(value, InertArray):
            return self.array(value, path)
        if isinstance(value, Global):
            dtype = getattr(torch, value.name.removeprefix("torch."), None)
            if value.name.startswith("torch.") and isinstance(dtype, torch.dtype):
                return dtype if self.tensors else value.name
            return self.leave(path, f"the name {value.name}")
        if isinstance(value, InertDtype):
            self.leave(path, f"numpy's dtype {value.code}", "its code")
            return value.code
        if isinstance(value, LongBytes):
            return self.leave(path, f"{count(value.source.size)} bytes")
        return _NOTHING if not self.tensors else self.leave(path, "a tensor outside a mapping")

    def array(self, value: InertArray, path: str) -> object:
        """A numpy array as a tensor or a list; torch.load refuses arrays with weights_only."""
        entry = _array_entry(value, path) if self.tensors else None
        if entry is None:
            return self.numbers(value, path)
        self.leave(path, _array_words(value), "a tensor")
        return entry

    def numbers(self, value: InertArray, path: str) -> object:
        """A numpy array as a list, or its one value."""
        what = _array_words(value)
        values = array_values(value, MAX_VALUES)
        in_order = not value.fortran or len(value.shape) < 2
        if values is None or not in_order or not all(map(_is_plain, values)):
            return self.leave(path, what)
        self.leave(path, what, "a list" if value.shape else "its value")
        return _nested(values, value.shape)

    def leave(self, path: str, what: str, became: str = "") -> _Nothing:
        """Report a value that is not kept as it was; `became` is its other form, if any."""
        if len(self.left_out) < MAX_REPORTED:
            self.left_out.append(LeftOut(path, what, became))
        else:
            self.unreported[path.partition(".")[0], became] += 1
        return _NOTHING

    def all_left_out(self) -> tuple[LeftOut, ...]:
        """What was reported; the last of each part stands for those that were not, too."""
        left_out = list(self.left_out)
        last = {(left.path.partition(".")[0], left.became): at for at, left in enumerate(left_out)}
        for (part, became), number in self.unreported.items():
            at = last.get((part, became))
            if at is None:
                left_out.append(LeftOut(part, counted(number, "value"), became))
            else:
                left_out[at] = replace(left_out[at], values=1 + number)
        return tuple(left_out)


def _plain_key(key: Key) -> Hashable | _Nothing:
    """A key as Python has it; _NOTHING for an object, or a tuple that has one in it."""
    if isinstance(key, Opaque | Global):
        return _NOTHING
    if not isinstance(key, UnusualKey):
        return key
    value = key.value
    if isinstance(value, tuple) and all(map(_is_plain, value)):
        return value
    return value if isinstance(value, bytes | complex | int) else _NOTHING


def _belongs(name: str, item: Tree, replaced: Mapping[str, TensorEntry]) -> bool:
    """Whether an item of a state_dict is one of its tensors, or contains several of them."""
    if isinstance(item, InertTensor | InertSubclass | Storage) or name in replaced:
        return True
    if isinstance(item, dict):
        return bool(item) and any(f"{name}.{inner}" in replaced for inner in item)
    return isinstance(item, tuple) and name.rpartition(".")[2] == PACKED_PARAMS


def _array_words(array: InertArray) -> str:
    return f"a numpy array of {shape_words(array.shape) if array.shape else 'one value'}"


def _array_entry(array: InertArray, path: str) -> TensorEntry | None:
    try:
        tensor = array_tensor(array)
    except ValueError:
        return None
    assert isinstance(tensor.storage, InlineStorage)
    record = inline_record(tensor.storage)
    entry = TensorEntry(path, tensor.dtype, tensor.shape, tensor.stride, 0, record)
    return entry if entry.numel * ITEMSIZES[entry.dtype] <= record.nbytes else None


def _is_plain(value: Tree) -> bool:
    return value is None or isinstance(value, bool | int | float | complex | str)


def _nested(values: Sequence[object], shape: Sequence[int]) -> object:
    """A flat list as nested lists of this shape; its one value if there is no dimension."""
    if not shape:
        return values[0]
    if len(shape) == 1:
        return list(values)
    step = len(values) // shape[0] if shape[0] else 0
    return [_nested(values[at * step : (at + 1) * step], shape[1:]) for at in range(shape[0])]


def _join(path: str, key: object) -> str:
    return (f"{path}.{key}" if path else str(key))[:MAX_PATH]


def _beyond(below: str | None, key: object) -> str | None:
    """The path to the weights after a step to `key`; None if they are not below it."""
    if below is None or not f"{below}.".startswith(f"{key}."):
        return None
    return below[len(str(key)) + 1 :]
