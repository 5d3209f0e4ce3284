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
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import torch

from core.checkpoint.entries import ITEMSIZES, StateDict, TensorEntry
from core.checkpoint.safetensors_file import DTYPES
from core.checkpoint.tensor_rebuilds import STORAGE_DTYPES
from core.checkpoint.tensors import chunks, torch_dtype
from core.errors import StoreError

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
    share one storage, and `_metadata` keeps the versions; a .safetensors holds each key's bytes.
    `progress(done, total, key)` counts bytes and may raise to cancel. Raises StoreError where the
    disk does not take it, SourceError and CheckpointError where the source cannot be read.
    """
    writer = _write_pth if format == "pth" else _write_safetensors
    quantized = [
        key for key, entry in state_dict.items() if entry.dtype.startswith(("qint", "quint"))
    ]
    if quantized:
        raise StoreError(
            f"{quantized[0]} is quantized, and its scale cannot be written.",
            "Drop the quantized keys, or dequantize the model first.",
        )
    with _whole(path) as file:
        writer(state_dict, file, _Counter(state_dict.nbytes, progress))


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


def _write_pth(state_dict: StateDict, file: BinaryIO, counter: _Counter) -> None:
    storages: dict[object, _Storage] = {}
    tensors: OrderedDict[str, _Tensor] = OrderedDict()
    entries: dict[str, TensorEntry] = {}
    for key, entry in state_dict.items():
        place = (
            (
                id(entry.record.source),
                entry.record.offset,
                entry.storage_offset,
                entry.shape,
                entry.stride,
                entry.transforms,
            )
            if entry.record is not None and entry.numel
            else key
        )
        storage = storages.get(place)
        if storage is None:
            storage = storages[place] = _Storage(str(len(storages)), entry.dtype, entry.numel)
            entries[storage.key] = entry
        tensors[key] = _Tensor(storage, entry)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _member(archive, "data.pkl", _pickled(_with_versions(tensors, state_dict.versions)))
        _member(archive, "byteorder", b"little")
        for storage in storages.values():
            entry = entries[storage.key]
            with archive.open(_aligned(archive, f"data/{storage.key}", entry.nbytes), "w") as into:
                _write_elements(entry, into, counter)
        _member(archive, "version", b"3\n")


class _Storage:
    """Stands for a storage in the pickle; becomes a persistent id."""

    def __init__(self, key: str, dtype: str, numel: int) -> None:
        self.key = key
        self.dtype = dtype
        self.numel = numel

    def persistent_id(self) -> tuple[object, ...]:
        """What torch/serialization.py writes for a storage."""
        name = LEGACY_CLASSES.get(self.dtype)
        if name is None:
            nbytes = self.numel * ITEMSIZES[self.dtype]
            return "storage", torch.UntypedStorage, self.key, "cpu", nbytes
        return "storage", getattr(torch, name), self.key, "cpu", self.numel


class _Tensor:
    """Stands for a tensor in the pickle, contiguous in a storage of its own."""

    def __init__(self, storage: _Storage, entry: TensorEntry) -> None:
        self.storage = storage
        self.entry = entry

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        shape = self.entry.shape
        stride: list[int] = []
        step = 1
        for length in reversed(shape):
            stride.insert(0, step)
            step *= max(1, length)
        place: tuple[object, ...] = (self.storage, 0, shape, tuple(stride), False, OrderedDict())
        if self.storage.dtype in LEGACY_CLASSES:
            return torch._utils._rebuild_tensor_v2, place
        return torch._utils._rebuild_tensor_v3, (*place, torch_dtype(self.storage.dtype))


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        """Storages lie beside the pickle."""
        return obj.persistent_id() if isinstance(obj, _Storage) else None


def _pickled(tensors: OrderedDict[str, _Tensor]) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump(tensors)
    return buffer.getvalue()


def _with_versions(
    tensors: OrderedDict[str, _Tensor], versions: Mapping[str, int]
) -> OrderedDict[str, _Tensor]:
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
