"""The `.pt2` archives of torch.export: their weights and constants, never their graph.

Layout (torch/export/pt2_archive/constants.py and _package.py): a zip with `archive_format` and, for
each model, `data/weights/NAME_weights_config.json`, which maps each name to the member with its
bytes, and to its dtype, sizes, strides and offset (torch/_export/serde/schema.py, TensorMeta); and
the same for constants. Before PyTorch 2.8, it contained `serialized_state_dict.pt`, which
torch.save wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from core.checkpoint.containers.bounded_json import read_json
from core.checkpoint.containers.budget import MoreThanLoupeReads, check_dimensions
from core.checkpoint.containers.sources import Within
from core.checkpoint.containers.zip_container import Archive, NoDirectory, open_archive, zip_records
from core.checkpoint.entries import Record, Source
from core.checkpoint.pickles.global_verdicts import GlobalUse
from core.checkpoint.pickles.inert import InertDict, InertTensor, Storage, Tree
from core.checkpoint.readers.contents import Contents, entry_of
from core.checkpoint.readers.torch_zip import read_torch_zip, torch_folder
from core.checkpoint.tree.tensor_entries import EntryMaker, entry_maker
from core.errors import CheckpointError
from core.wording import count

FORMAT = "archive_format"
"""The member that every archive has since PyTorch 2.8 (ARCHIVE_FORMAT_PATH)."""

OLD_WEIGHTS = "serialized_state_dict.pt"
OLD_CONSTANTS = "serialized_constants.pt"
"""The members with the weights and the constants before PyTorch 2.8."""

COMPILED = "data/aotinductor/"
"""The folder of compiled models (AOTINDUCTOR_DIR)."""

MAX_CONFIG = 64 << 20
"""The most bytes of a config; a tensor takes some 300."""

MAX_TENSORS = 500_000
"""The most tensors of a config."""

SCALAR_TYPES: Mapping[int, str] = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
    31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu",
    34: "uint32",
    35: "uint64",
}
"""The dtypes by their numbers in a config (torch/_export/serde/schema.py, ScalarType)."""

_CONFIGS = re.compile(r"data/(weights|constants)/(.+)_(?:weights|constants)_config\.json")


class _Weight(NamedTuple):
    """A config's entry for one name; `pickled` says that torch.save wrote the member."""

    member: str
    pickled: bool
    meta: object


def export_folder(archive: Archive) -> str | None:
    """The folder of an exported program in a zip, with its slash; None for another kind of zip."""
    for name in archive.members:
        folder, _, last = name.rpartition("/")
        if last in (FORMAT, OLD_WEIGHTS) and "/" not in folder:
            return f"{folder}/" if folder else ""
    return None


def read_exported_program(archive: Archive, folder: str) -> Contents:
    """The weights and constants of an exported program. Raises CheckpointError, SourceError."""
    reader = _Reader(archive, folder)
    tree = InertDict()
    for name in (OLD_WEIGHTS, OLD_CONSTANTS):
        if f"{folder}{name}" in archive.members:
            part = "state_dict" if name == OLD_WEIGHTS else "constants"
            tree[part] = reader.read_saved(f"{folder}{name}")
    for member in archive.members:
        match = _CONFIGS.fullmatch(member.removeprefix(folder))
        if match is not None:
            part = "state_dict" if match[1] == "weights" else "constants"
            if match[2] != "model":
                part = f"{part} of {match[2]}"
            tree[part] = reader.read_config(member, f"{folder}data/{match[1]}/")
    if not tree and any(f"{folder}{COMPILED}" in name for name in archive.members):
        raise CheckpointError(
            "The file is an AOTInductor package: machine code that torch.export's compiler made, "
            "with the weights inside it.",
            "Open the .pt2 or .pth that it was compiled from.",
        )
    return Contents(
        "exported",
        tree,
        tuple(reader.globals),
        entry_of(reader.parts),
        ("The graph in this archive was not read; its weights are here.",),
        partial(zip_records, archive.source),
    )


class _Reader:
    """Reads one archive; `globals` and `parts` are what its pickles name, and their trees."""

    def __init__(self, archive: Archive, folder: str) -> None:
        self.archive = archive
        self.globals: list[GlobalUse] = []
        self.parts: list[tuple[Tree, EntryMaker]] = []
        order = f"{folder}byteorder"
        self.big_endian = order in archive.members and archive.read(order, 16) == b"big"

    def record(self, member: str) -> Record:
        record = self.archive.record(member)
        return replace(record, big_endian=True) if self.big_endian else record

    def read_config(self, config: str, folder: str) -> InertDict:
        """The tensors of a config, whose members are in `folder`."""
        tensors = InertDict()
        for name, weight in _weights(self.archive.read(config, MAX_CONFIG), config):
            member = folder + weight.member
            tensors[name] = (
                self.read_saved(member) if weight.pickled else self.tensor(member, weight.meta)
            )
        # First, because the last maker of a tensor counts: those that torch.save wrote are in
        # `tensors` too, and their own makers come later in the list.
        self.parts.insert(0, (tensors, entry_maker(lambda storage: self.record(storage.key))))
        return tensors

    def tensor(self, member: str, meta: object) -> InertTensor:
        facts = meta if isinstance(meta, dict) else {}
        code = facts.get("dtype")
        dtype = SCALAR_TYPES.get(code) if isinstance(code, int) else None
        if dtype is None:
            raise _unsound(f"{member[:200]} has an unknown dtype")
        shape, stride = _numbers(facts.get("sizes")), _numbers(facts.get("strides"))
        offset = _numbers([facts.get("storage_offset")])[0]
        if len(shape) != len(stride):
            raise _unsound(f"{member[:200]} has an impossible shape")
        device = facts.get("device")
        location = device.get("type") if isinstance(device, dict) else None
        storage = Storage(member, dtype, location if isinstance(location, str) else "cpu", 0)
        requires_grad = facts.get("requires_grad") is True
        return InertTensor(storage, dtype, shape, stride, offset, requires_grad)

    def read_saved(self, member: str) -> Tree:
        """The object in a member that torch.save wrote."""
        record = self.archive.record(member)
        part: Source = Within(self.archive.source, record.offset, record.nbytes)
        try:
            inner = open_archive(part)
        except NoDirectory:
            inner = None
        folder = None if inner is None else torch_folder(inner)
        if inner is None or folder is None:
            raise _unsound(f"{member[:200]} is not what torch.save writes")
        contents = read_torch_zip(inner, folder)
        self.globals += contents.globals
        self.parts.append((contents.tree, contents.entry))
        return contents.tree


def _weights(data: bytes, config: str) -> Iterator[tuple[str, _Weight]]:
    try:
        document = read_json(data, config)
    except ValueError as error:
        raise _unsound(f"{config[:200]} is not valid JSON") from error
    weights = document.get("config") if isinstance(document, dict) else None
    if not isinstance(weights, dict):
        raise _unsound(f"{config[:200]} names no weights")
    if len(weights) > MAX_TENSORS:
        raise MoreThanLoupeReads(f"{config[:200]} names more than {count(MAX_TENSORS)} tensors")
    for name, facts in weights.items():
        member = facts.get("path_name") if isinstance(facts, dict) else None
        if not isinstance(facts, dict) or not isinstance(member, str):
            raise _unsound(f"it states no member for {name[:200]}")
        yield name, _Weight(member, facts.get("use_pickle") is True, facts.get("tensor_meta"))


def _numbers(values: object) -> tuple[int, ...]:
    """A config's sizes, each of which is written as {"as_int": 3}."""
    if not isinstance(values, list):
        raise _unsound("a tensor in it has an impossible shape")
    check_dimensions(len(values))
    sizes = [value.get("as_int") if isinstance(value, dict) else None for value in values]
    numbers = tuple(number for number in sizes if type(number) is int and 0 <= number < 1 << 62)
    if len(numbers) != len(sizes):
        raise _unsound("a tensor in it has an impossible shape")
    return numbers


def _unsound(why: str) -> CheckpointError:
    return CheckpointError(
        f"The exported program is unsound: {why}.", "Get it again from where it came from."
    )
