"""Writes a .pth as torch.save does: a zip of a pickle and storages."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO

import torch

from core.checkpoint import (
    ITEMSIZES,
    PACKED,
    STRIDED,
    Nested,
    Quantized,
    Sparse,
    StateDict,
    TensorEntry,
    layout,
    packed_bytes,
    stored_values,
)
from core.checkpoint.pickles import STORAGE_DTYPES, row_major
from core.export.element_writer import Counter, refuse_without_scales, write_elements
from core.export.exported import Expected, ExpectedTensor
from core.tensors import torch_dtype

ALIGNMENT = 64
"""Storages begin at a multiple of it in torch.save's zip (caffe2/serialize/inline_container.h)."""

FOLDER = "archive"
"""The folder in the zip; torch.save names it after the file, and torch.load accepts any name."""

LEGACY_CLASSES: Mapping[str, str] = {
    dtype: name.removeprefix("torch.")
    for name, dtype in STORAGE_DTYPES.items()
    if name.count(".") == 1 and "Untyped" not in name
}
"""dtype → the storage class in the pickle; newer dtypes have none, and use an untyped storage."""

Reduced = tuple[Callable[..., object], tuple[object, ...]]
"""A call of one of torch's rebuild functions, as (function, arguments)."""


@dataclass(frozen=True, slots=True)
class PthPlan:
    """A file that can be written: its pickle, and the storages next to it.

    `tensors` are those of the exported state_dict, which is at `path` of the tree.
    """

    path: str
    pickled: bytes
    storages: tuple[_Storage, ...]
    tensors: Mapping[str, ExpectedTensor]

    @property
    def payload(self) -> int:
        """The bytes of all storages."""
        return sum(storage.nbytes for storage in self.storages)

    @property
    def nbytes(self) -> int:
        """The bytes of the file; a larger file than 4 GiB has a little more."""
        at = directory = 0
        for name, nbytes in self._members():
            extra = len(_padding(at, name, nbytes))
            at += LOCAL_HEADER + len(name) + _wide(nbytes) + extra + nbytes
            directory += DIRECTORY_ENTRY + len(name) + extra
        return at + directory + END_RECORD

    def _members(self) -> Iterator[tuple[str, int]]:
        yield f"{FOLDER}/data.pkl", len(self.pickled)
        yield f"{FOLDER}/byteorder", len(BYTE_ORDER)
        for storage in self.storages:
            yield storage.member, storage.nbytes
        yield f"{FOLDER}/version", len(VERSION)


BYTE_ORDER = b"little"
VERSION = b"3\n"
"""The contents of two members, as torch.save writes them (kMinProducedFileFormatVersion in
caffe2/serialize/versions.h)."""

LOCAL_HEADER, DIRECTORY_ENTRY, END_RECORD = 30, 46, 22
"""Bytes of a zip's structures without names and extra fields (APPNOTE.TXT, 4.3.7, 4.3.12,
4.3.16)."""


def plan_pth(tree: object, state_dict: StateDict, path: str) -> PthPlan:
    """Pickle a tree of plain data with TensorEntry in place of tensors.

    The entries of `state_dict` must be in the tree at `path`. Tensors at one place in the source
    share a storage. Raises StoreError for quantized integers without scales, and CheckpointError
    for a dtype that this PyTorch lacks.
    """
    storages = _Storages()
    buffer = io.BytesIO()
    pickler = _Pickler(buffer, storages)
    pickler.dump(tree)
    tensors = {
        key: ExpectedTensor(
            entry.dtype,
            entry.shape,
            layout(entry) if isinstance(entry.form, Quantized | Sparse | Nested) else STRIDED,
            pickler.members[id(entry)],
        )
        for key, entry in state_dict.items()
    }
    return PthPlan(path, buffer.getvalue(), tuple(storages.by_place.values()), tensors)


def write_pth(plan: PthPlan, file: BinaryIO, counter: Counter) -> Expected:
    """Write the planned file; returns what it must contain when it is opened again."""
    records: dict[str, int] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def member(name: str, data: bytes) -> None:
            info = _aligned(archive, f"{FOLDER}/{name}", len(data))
            with archive.open(info, "w") as into:
                into.write(data)
            records[info.filename] = info.CRC

        member("data.pkl", plan.pickled)
        member("byteorder", BYTE_ORDER)
        for storage in plan.storages:
            info = _aligned(archive, storage.member, storage.nbytes)
            with archive.open(info, "w") as into:
                write_elements(storage.entry, into, counter)
            records[info.filename] = info.CRC
        member("version", VERSION)
    return Expected(plan.path, plan.tensors, records, ordered=True)


def weights_dict(
    state_dict: StateDict, others: Mapping[object, object]
) -> OrderedDict[object, object]:
    """A state_dict as Module.state_dict makes it, with `others` as further items.

    The versions of its modules are in the attribute `_metadata`.
    """
    tensors: OrderedDict[object, object] = OrderedDict(state_dict)
    tensors.update(others)
    if state_dict.versions:
        metadata = OrderedDict(
            (module, {"version": version}) for module, version in state_dict.versions.items()
        )
        tensors._metadata = metadata  # type: ignore[attr-defined]  # torch's own attribute
    return tensors


class _Storage:
    """A storage in the pickle, which writes it as a persistent id."""

    def __init__(self, key: str, entry: TensorEntry) -> None:
        """A contiguous storage for the elements of a strided entry."""
        self.key = key
        self.dtype = entry.dtype
        packed = entry.dtype in PACKED  # torch counts the bytes of such a storage, not the elements
        self.numel = packed_bytes(entry.dtype, entry.shape) if packed else entry.numel
        self.whole = entry
        self.entry = _bytes_of(entry, self.numel) if packed else entry

    @property
    def member(self) -> str:
        """The name of its bytes in the zip."""
        return f"{FOLDER}/data/{self.key}"

    @property
    def nbytes(self) -> int:
        """The number of its bytes."""
        return self.numel * ITEMSIZES[self.dtype]

    def persistent_id(self) -> tuple[object, ...]:
        """The persistent id that torch/serialization.py writes for a storage."""
        name = LEGACY_CLASSES.get(self.dtype)
        if name is None:
            return "storage", torch.UntypedStorage, self.key, "cpu", self.nbytes
        return "storage", getattr(torch, name), self.key, "cpu", self.numel


def _bytes_of(entry: TensorEntry, nbytes: int) -> TensorEntry:
    """Elements smaller than a byte, as the bytes that contain them."""
    return replace(entry, dtype="uint8", shape=(nbytes,), stride=(1,), form=None)


class _Storages:
    """The storages of a file, one for each place in the source, and its shapes, each once."""

    def __init__(self) -> None:
        self.by_place: dict[object, _Storage] = {}
        self._tuples: dict[tuple[int, ...], tuple[int, ...]] = {}

    def shape(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """One tuple for equal shapes: a pickle writes an object once and then refers to it."""
        return self._tuples.setdefault(numbers, numbers)

    def of(self, entry: TensorEntry) -> _Storage:
        """The storage of a strided entry's elements."""
        place: object = id(entry)  # a tensor without bytes shares them with no other
        if entry.record is not None and entry.numel:
            place = (
                id(entry.record.source),
                entry.record.offset,
                entry.storage_offset,
                entry.dtype,
                entry.shape,
                entry.stride,
                entry.transforms,
            )
        if place not in self.by_place:
            self.by_place[place] = _Storage(str(len(self.by_place)), entry)
        return self.by_place[place]


class _Pickler(pickle.Pickler):
    """Writes entries as tensors; `members` are the zip members of each entry's bytes, by its id."""

    def __init__(self, file: io.BytesIO, storages: _Storages) -> None:
        super().__init__(file, protocol=2)
        self.storages = storages
        self.members: dict[int, tuple[str, ...]] = {}

    def persistent_id(self, obj: object) -> object:
        """Storages are next to the pickle, which contains their persistent ids."""
        return obj.persistent_id() if isinstance(obj, _Storage) else None

    def reducer_override(self, obj: object) -> Reduced:
        """Reduce an entry as torch/_tensor.py reduces a contiguous tensor of its layout."""
        if not isinstance(obj, TensorEntry):
            return NotImplemented  # type: ignore[no-any-return]  # pickle does it itself
        call, parts = self._call(obj)
        self.members[id(obj)] = tuple(self.storages.of(part).member for part in parts)
        return call

    def _call(self, entry: TensorEntry) -> tuple[Reduced, tuple[TensorEntry, ...]]:
        """The call that rebuilds the tensor, and the strided entries of the bytes that it needs."""
        refuse_without_scales(entry)
        shape, stride = map(self.storages.shape, (entry.shape, row_major(entry.shape)))
        hooks: OrderedDict[str, object] = OrderedDict()
        match entry.form:
            case Quantized(scheme, scale, zero_point, axis):
                quantizer: tuple[object, ...] = getattr(torch, scheme), scale, zero_point
                parts: tuple[TensorEntry, ...] = (entry,)
                if isinstance(scale, TensorEntry) and isinstance(zero_point, TensorEntry):
                    quantizer = (*quantizer, axis)
                    parts = entry, scale, zero_point
                arguments = self.storages.of(entry), 0, shape, stride, quantizer, False, hooks
                return (torch._utils._rebuild_qtensor, arguments), parts
            case Sparse(name, (*indices, _), is_coalesced):
                flag = (is_coalesced,) if name == "sparse_coo" else ()
                stored = *indices, stored_values(entry)
                data = (*stored, torch.Size(entry.shape), *flag)
                return (torch._utils._rebuild_sparse_tensor, (getattr(torch, name), data)), stored
            case Nested(sizes, strides, offsets):
                stored = stored_values(entry), sizes, strides, offsets
                return (torch._utils._rebuild_nested_tensor, stored), stored
            case _:
                storage = self.storages.of(entry)
                plain = storage, 0, shape, stride, False, hooks
                if storage.dtype in LEGACY_CLASSES:
                    return (torch._utils._rebuild_tensor_v2, plain), (entry,)
                dtype = torch_dtype(storage.dtype)
                return (torch._utils._rebuild_tensor_v3, (*plain, dtype)), (entry,)


def _aligned(archive: zipfile.ZipFile, name: str, nbytes: int) -> zipfile.ZipInfo:
    """A zip member whose data begins at a multiple of ALIGNMENT, by padding its extra field."""
    info = zipfile.ZipInfo(name)
    info.file_size = nbytes
    assert archive.fp is not None
    info.extra = _padding(archive.fp.tell(), name, nbytes)
    return info


def _padding(at: int, name: str, nbytes: int) -> bytes:
    """The extra field of a member whose local header is at `at`: torch's own, `FB` and Zs."""
    padding = -(at + LOCAL_HEADER + len(name) + _wide(nbytes) + 4) % ALIGNMENT
    return b"FB" + padding.to_bytes(2, "little") + b"Z" * padding


def _wide(nbytes: int) -> int:
    """The bytes of the ZIP64 field that zipfile adds to a member near its limit (ZipFile.open)."""
    return 20 if nbytes * 1.05 > zipfile.ZIP64_LIMIT else 0
