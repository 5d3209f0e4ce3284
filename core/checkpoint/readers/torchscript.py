"""Reads what a TorchScript archive has besides data.pkl: constants, and which attributes are state.

Layout (torch/csrc/jit/serialization/export_module.cpp): `constants.pkl`, whose storages are in
`constants/`, and below `code/` the source of each class. No source is run: only its two lines
`__parameters__` and `__buffers__` are read, which list the names in a module's `state_dict`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from core.checkpoint.containers.zip_container import Archive, zip_records
from core.checkpoint.entries import Record
from core.checkpoint.pickles.inert import InertDict, InertTensor, Opaque, Tree, each_once
from core.checkpoint.pickles.ledger import Ledger
from core.checkpoint.pickles.unpickler import Mentions, unpickle
from core.checkpoint.readers.contents import Contents, entry_of
from core.checkpoint.tree.discover import tensors_in
from core.checkpoint.tree.tensor_entries import entry_maker, storage_of
from core.wording import listed

MAX_CONSTANTS = 64 << 20
"""The most bytes of constants.pkl, as of data.pkl."""

MAX_SOURCE = 4 << 20
"""The most bytes of source that are searched for classes."""

MAX_FILES = 4_000
"""The most files of source that are searched."""

MAX_PATH = 1024
"""The most characters of a path to a packed object, as in tree/discover.py."""

MAX_NESTING = 3
MAX_ITEMS = 16
"""Levels of a packed object that are searched for tensors, and items of each list."""

PACKED_NOTE = (
    "Its quantized layers keep their weights packed: they are listed as a separate part, not in "
    "the state_dict."
)

_MODULE_CLASS = re.compile(
    rb"^class (\w+)\(Module\):\n  __parameters__ = \[(.*?)\]\n  __buffers__ = \[(.*?)\]\n",
    re.MULTILINE,
)
"""The head of a module's class as torch.jit.save prints it: its name, parameters and buffers."""

_TEXT = re.compile(rb'"([^"\n]*)"')


def is_torchscript(archive: Archive, folder: str) -> bool:
    """Whether torch.jit.save wrote the archive."""
    return f"{folder}constants.pkl" in archive.members and any(
        name.startswith(f"{folder}code/") for name in archive.members
    )


def read_torchscript(
    archive: Archive, folder: str, saved: Contents, record_of: Callable[[str], Record]
) -> Contents:
    """The contents of an archive whose data.pkl was read as `saved`.

    `record_of` returns the record of a member by its name. The weights of a frozen module are
    constants, which TorchScript names `c0`, `c1` and so on. Raises CheckpointError, SourceError.
    """
    left_out = _keep_state(saved.tree, _state_names(archive, f"{folder}code/"))
    notes = ["The code in this archive was not read; its weights are here."]
    if left_out:
        notes.append(
            "Tensors that are neither parameters nor buffers, but other attributes, are left out: "
            f"{listed(left_out)}."
        )
    data = archive.read(f"{folder}constants.pkl", MAX_CONSTANTS)
    saved_constants = unpickle(data, Mentions("constants.pkl", Ledger()), storage_of).tree
    constants = InertDict()
    for index, constant in enumerate(
        saved_constants if isinstance(saved_constants, tuple | list) else ()
    ):
        if isinstance(constant, InertTensor):
            constants[f"c{index}"] = constant
    tree = saved.tree
    packed = _packed(saved.tree)
    if constants or packed:
        tree = InertDict()
        if next(tensors_in(saved.tree), None) is not None:
            tree["model"] = saved.tree
        if packed:
            tree["packed_params"] = packed
            notes.append(PACKED_NOTE)
        if constants:
            tree["constants"] = constants
    described = entry_maker(lambda storage: record_of(f"{folder}constants/{storage.key}"))
    return Contents(
        "torchscript",
        tree,
        saved.globals,
        entry_of([(saved.tree, saved.entry), (constants, described)]) if constants else saved.entry,
        (*notes, *saved.notes),
        partial(zip_records, archive.source),
    )


def _packed(tree: Tree) -> InertDict:
    """The tensors inside torch's own objects, such as the packed weights of a quantized layer.

    Each is under the path of its object and its number there; `state_dict` has none of them.
    """
    packed = InertDict()
    visited: set[int] = set()
    rest = [("", tree)]
    while rest:
        path, value = rest.pop()
        if not isinstance(value, Opaque) or id(value) in visited or len(path) > MAX_PATH:
            continue
        visited.add(id(value))
        if value.name.startswith("__torch__.torch.classes."):
            for number, tensor in enumerate(_tensors(value.state, 0)):
                packed[f"{path}.{number}"] = tensor
        elif isinstance(value.state, dict):
            below = [(f"{path}.{key}".lstrip("."), item) for key, item in value.state.items()]
            rest.extend(reversed(below))
    return packed


def _tensors(value: Tree, depth: int) -> Iterator[InertTensor]:
    if isinstance(value, InertTensor):
        yield value
    elif isinstance(value, list | tuple) and depth < MAX_NESTING:
        for item in value[:MAX_ITEMS]:
            yield from _tensors(item, depth + 1)


def _state_names(archive: Archive, code: str) -> dict[str, frozenset[str]]:
    """The names of parameters and buffers of each class, by its qualified name."""
    names_by_class: dict[str, frozenset[str]] = {}
    room = MAX_SOURCE
    files = [name for name in archive.members if name.startswith(code) and name.endswith(".py")]
    for name in files[:MAX_FILES]:
        source = archive.peek(archive.members[name], room)
        room -= len(source)
        module = name.removeprefix(code).removesuffix(".py").replace("/", ".")
        for class_name, parameters, buffers in _MODULE_CLASS.findall(source):
            names = _TEXT.findall(parameters) + _TEXT.findall(buffers)
            names_by_class[f"{module}.{class_name.decode()}"] = frozenset(
                name.decode("utf-8", "replace") for name in names
            )
        if room <= 0:
            break
    return names_by_class


def _keep_state(tree: Tree, names: Mapping[str, frozenset[str]]) -> list[str]:
    """Remove the tensors from the modules that are not state; the removed names."""
    left_out: list[str] = []
    for value in each_once(tree):
        if isinstance(value, Opaque) and value.name in names and isinstance(value.state, dict):
            state = names[value.name]
            others = [
                key
                for key, item in value.state.items()
                if isinstance(item, InertTensor) and key not in state
            ]
            for key in others:
                del value.state[key]
            left_out += map(str, others)
    return left_out
