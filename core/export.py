"""Writes a state_dict as a file that torch.load or safetensors reads, a chunk at a time."""

from __future__ import annotations

import io
import json
import os
import pickle
import secrets
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import torch

from core.checkpoint.entries import (
    ITEMSIZES,
    PACKED,
    Nested,
    Quantized,
    Sparse,
    StateDict,
    TensorEntry,
    packed_bytes,
)
from core.checkpoint.safetensors_file import DTYPES
from core.checkpoint.tensor_rebuilds import STORAGE_DTYPES, row_major
from core.checkpoint.tensors import chunks, torch_dtype
from core.errors import StoreError
from core.layouts import stored_values

Report = Callable[[int, int, str], None]

ALIGNMENT = 64
"""Where a storage begins in a torch.save zip (caffe2/serialize/inline_container.h)."""

FOLDER = "archive"

CHUNK = 4 << 20

LEGACY_CLASSES: Mapping[str, str] = {
    dtype: name.removeprefix("torch.")
    for name, dtype in STORAGE_DTYPES.items()
    if name.count(".") == 1 and "Untyped" not in name
}
"""dtype → the storage class that a pickle names; newer dtypes have none, and go untyped."""


class _Writable(Protocol):
    def write(self, data: memoryview, /) -> int: ...


def export_state_dict(
    state_dict: StateDict,
    path: Path,
    format: Literal["pth", "safetensors"],
    *,
    progress: Report | None = None,
) -> None:
    """Write `state_dict` to `path`, which appears only when it is whole.

    Memory stays bounded whatever the size. In a .pth, keys that are the same tensor in the source
    share one storage, quantized, sparse and nested tensors stay what they are, and `_metadata`
    keeps the versions; a .safetensors holds each key's bytes, and dense tensors only.
    `progress(done, total, key)` counts bytes and may raise to cancel. Raises StoreError where the
    format or the disk does not take it, SourceError and CheckpointError where the source cannot be
    read.
    """
    writer = _write_pth if format == "pth" else _write_safetensors
    for entry in state_dict.values():
        _refuse_without_scales(entry)
    with _whole(path) as file:
        writer(state_dict, file, _Counter(state_dict.nbytes, progress))


def _refuse_without_scales(entry: TensorEntry) -> None:
    quantized = entry.dtype.startswith(("qint", "quint"))
    if quantized != isinstance(entry.form, Quantized) or (quantized and entry.transforms):
        raise StoreError(
            f"{entry.key} is quantized, and its scales cannot be written.",
            "Drop the quantized keys, or dequantize the model first.",
        )


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name only when nothing went wrong; else nothing of it stays."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path.name} cannot be written: {error.strerror}.",
            "Make room on the server's disk, or ask its owner.",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink()


class _Counter:
    """Bytes written so far, told to whoever asked."""

    def __init__(self, total: int, report: Report | None) -> None:
        self.done = 0
        self.total = total
        self.report = report

    def add(self, nbytes: int, key: str) -> None:
        self.done += nbytes
        if self.report is not None:
            self.report(min(self.done, self.total), self.total, key)


def _write_elements(entry: TensorEntry, file: _Writable, counter: _Counter) -> None:
    for chunk in chunks(entry, CHUNK):
        raw = chunk.contiguous().view(torch.uint8).numpy()
        file.write(raw.data.cast("B"))
        counter.add(raw.nbytes, entry.key)


def _write_safetensors(state_dict: StateDict, file: BinaryIO, counter: _Counter) -> None:
    """Large elements first, so that each tensor begins at a multiple of its element's size."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    entries = sorted(state_dict.values(), key=lambda entry: -ITEMSIZES[entry.dtype])
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for entry in entries:
        _refuse_layout(entry)
        if entry.dtype not in names:
            raise StoreError(
                f"{entry.key} is {entry.dtype}, which safetensors does not have.",
                "Save it as .pth, or cast it.",
            )
        header[entry.key] = {
            "dtype": names[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [end, end + entry.nbytes],
        }
        end += entry.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for entry in entries:
        _write_elements(entry, file, counter)


def _refuse_layout(entry: TensorEntry) -> None:
    match entry.form:
        case Quantized():
            what, remedy = "quantized, and safetensors has no scales", "dequantize the model"
        case Sparse(layout=layout):
            what, remedy = f"sparse ({layout}), and safetensors holds dense tensors", ".to_dense()"
        case Nested():
            what = "nested, and safetensors holds tensors of one shape"
            remedy = "store its rows apart"
        case _:
            return
    raise StoreError(f"{entry.key} is {what}.", f"Save it as .pth, or {remedy} first.")


def _write_pth(state_dict: StateDict, file: BinaryIO, counter: _Counter) -> None:
    storages = _Storages()
    tensors = OrderedDict((key, _rebuilt(entry, storages)) for key, entry in state_dict.items())
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _member(archive, "data.pkl", _pickled(_with_versions(tensors, state_dict.versions)))
        _member(archive, "byteorder", b"little")
        for storage in storages.by_place.values():
            nbytes = storage.numel * ITEMSIZES[storage.dtype]
            with archive.open(_aligned(archive, f"data/{storage.key}", nbytes), "w") as into:
                _write_elements(storage.entry, into, counter)
        _member(archive, "version", b"3\n")


class _Storage:
    """Stands for a storage in the pickle; becomes a persistent id."""

    def __init__(self, key: str, entry: TensorEntry) -> None:
        """For the elements of a strided entry, one after the other."""
        self.key = key
        self.dtype = entry.dtype
        packed = entry.dtype in PACKED
        self.numel = packed_bytes(entry.dtype, entry.shape) if packed else entry.numel
        self.entry = _bytes_of(entry, self.numel) if packed else entry

    def persistent_id(self) -> tuple[object, ...]:
        """What torch/serialization.py writes for a storage."""
        name = LEGACY_CLASSES.get(self.dtype)
        if name is None:
            nbytes = self.numel * ITEMSIZES[self.dtype]
            return "storage", torch.UntypedStorage, self.key, "cpu", nbytes
        return "storage", getattr(torch, name), self.key, "cpu", self.numel


def _bytes_of(entry: TensorEntry, nbytes: int) -> TensorEntry:
    """Elements that are smaller than a byte, as the bytes that hold them."""
    return replace(entry, dtype="uint8", shape=(nbytes,), stride=(1,), form=None)


class _Storages:
    """The storages of a file, those of equal places once, and its shapes, equal ones once."""

    def __init__(self) -> None:
        self.by_place: dict[object, _Storage] = {}
        self._tuples: dict[tuple[int, ...], tuple[int, ...]] = {}

    def shape(self, numbers: tuple[int, ...]) -> tuple[int, ...]:
        """One tuple for all that are equal: a pickle names an object again where it is the same."""
        return self._tuples.setdefault(numbers, numbers)

    def of(self, entry: TensorEntry) -> _Storage:
        """The storage of a strided entry's elements."""
        place: object = len(self.by_place)
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


class _Rebuilt:
    """Stands for a tensor in the pickle: a call of one of torch's own rebuild functions."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def _rebuilt(entry: TensorEntry, storages: _Storages) -> _Rebuilt:
    """As torch/_tensor.py reduces a tensor of that layout, contiguous in storages of its own."""

    def part(of: TensorEntry) -> _Rebuilt:
        return _rebuilt(of, storages)

    match entry.form:
        case Quantized(scheme, scale, zero_point, axis):
            quantizer: tuple[object, ...] = getattr(torch, scheme), scale, zero_point
            if isinstance(scale, TensorEntry) and isinstance(zero_point, TensorEntry):
                quantizer = getattr(torch, scheme), part(scale), part(zero_point), axis
            shape, stride = map(storages.shape, (entry.shape, row_major(entry.shape)))
            place = storages.of(entry), 0, shape, stride
            return _Rebuilt(torch._utils._rebuild_qtensor, *place, quantizer, False, OrderedDict())
        case Sparse(layout, (*indices, _), is_coalesced):
            flag = (is_coalesced,) if layout == "sparse_coo" else ()
            held = [*map(part, indices), part(stored_values(entry))]
            data = (*held, torch.Size(entry.shape), *flag)
            return _Rebuilt(torch._utils._rebuild_sparse_tensor, getattr(torch, layout), data)
        case Nested(sizes, strides, offsets):
            buffer = part(stored_values(entry))
            rest = map(part, (sizes, strides, offsets))
            return _Rebuilt(torch._utils._rebuild_nested_tensor, buffer, *rest)
        case _:
            storage = storages.of(entry)
            shape, stride = map(storages.shape, (entry.shape, row_major(entry.shape)))
            hooks: OrderedDict[str, object] = OrderedDict()
            plain = storage, 0, shape, stride, False, hooks
            if storage.dtype in LEGACY_CLASSES:
                return _Rebuilt(torch._utils._rebuild_tensor_v2, *plain)
            return _Rebuilt(torch._utils._rebuild_tensor_v3, *plain, torch_dtype(storage.dtype))


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        """Storages lie beside the pickle."""
        return obj.persistent_id() if isinstance(obj, _Storage) else None


def _pickled(tensors: OrderedDict[str, _Rebuilt]) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump(tensors)
    return buffer.getvalue()


def _with_versions(
    tensors: OrderedDict[str, _Rebuilt], versions: Mapping[str, int]
) -> OrderedDict[str, _Rebuilt]:
    """A state_dict carries its modules' versions in an attribute, as Module.state_dict makes it."""
    if versions:
        metadata = OrderedDict((module, {"version": each}) for module, each in versions.items())
        tensors._metadata = metadata  # type: ignore[attr-defined]  # torch's own attribute
    return tensors


def _member(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    with archive.open(_aligned(archive, name, len(data)), "w") as into:
        into.write(data)


def _aligned(archive: zipfile.ZipFile, name: str, nbytes: int) -> zipfile.ZipInfo:
    """A member whose data will begin at a multiple of ALIGNMENT, by padding its extra field."""
    info = zipfile.ZipInfo(f"{FOLDER}/{name}")
    info.file_size = nbytes
    # zipfile adds a 64-bit field of 20 bytes to members that may pass its limit (ZipFile.open).
    wide = 20 if nbytes * 1.05 > zipfile.ZIP64_LIMIT else 0
    assert archive.fp is not None
    start = archive.fp.tell() + 30 + len(info.filename) + wide + 4
    padding = -start % ALIGNMENT
    info.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    return info
