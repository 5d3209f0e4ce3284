"""Writes a .safetensors: the header's length, a JSON header, and the tensors' bytes."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from core.checkpoint import ITEMSIZES, STRIDED, Nested, Quantized, Sparse, StateDict, TensorEntry
from core.checkpoint.readers import DTYPES
from core.errors import StoreError, printable
from core.export.element_writer import Counter, refuse_without_scales, write_elements
from core.export.exported import Expected, ExpectedTensor


@dataclass(frozen=True, slots=True)
class SafetensorsPlan:
    """A file that can be written: its head, and the entries whose bytes follow it."""

    head: bytes
    entries: tuple[TensorEntry, ...]

    @property
    def payload(self) -> int:
        """The bytes of all tensors."""
        return sum(entry.nbytes for entry in self.entries)

    @property
    def nbytes(self) -> int:
        """The bytes of the file."""
        return len(self.head) + self.payload


def plan_safetensors(state_dict: StateDict, texts: Mapping[str, str]) -> SafetensorsPlan:
    """Plan a file with these tensors, and `texts` in `__metadata__`.

    Raises StoreError for what the format cannot store.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    # Large elements first, so that each tensor begins at a multiple of its element size.
    entries = sorted(state_dict.values(), key=lambda entry: -ITEMSIZES[entry.dtype])
    header: dict[str, object] = {"__metadata__": {**texts, "format": "pt"}}
    end = 0
    for entry in entries:
        refuse_without_scales(entry)
        _refuse_layout(entry)
        if entry.dtype not in names:
            raise StoreError(
                f"{entry.key} is {entry.dtype}, which safetensors does not have.",
                "Save it as .pth, or cast it.",
            )
        if entry.key == "__metadata__":
            raise StoreError(
                "A tensor is called `__metadata__`, a key that safetensors reserves for texts.",
                "Rename it, or save it as .pth.",
            )
        if not is_unicode(entry.key):
            raise StoreError(
                f"The key {printable(entry.key)} contains half a character, which is not Unicode.",
                "Rename it, or save it as .pth.",
            )
        header[entry.key] = {
            "dtype": names[entry.dtype],
            "shape": _shape(entry),
            "data_offsets": [end, end + entry.nbytes],
        }
        end += entry.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the first tensor begins at a multiple of 8
    return SafetensorsPlan(len(text).to_bytes(8, "little") + text, tuple(entries))


def is_unicode(text: str) -> bool:
    """Whether a text is valid Unicode: Python's may contain half characters (lone surrogates)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def write_safetensors(plan: SafetensorsPlan, file: BinaryIO, counter: Counter) -> Expected:
    """Write the planned file; returns what it must contain when it is opened again."""
    file.write(plan.head)
    records: dict[str, int] = {}
    for entry in plan.entries:
        summing = _SummingFile(file)
        write_elements(entry, summing, counter)
        records[entry.key] = summing.crc32
    tensors = {
        entry.key: ExpectedTensor(entry.dtype, entry.shape, STRIDED, (entry.key,))
        for entry in plan.entries
    }
    return Expected("", tensors, records, ordered=False)


class _SummingFile:
    """A file that computes the CRC-32 of what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.crc32 = 0

    def write(self, data: memoryview, /) -> int:
        """Write all bytes."""
        self.crc32 = zlib.crc32(data, self.crc32)
        return self.file.write(data)


def _shape(entry: TensorEntry) -> list[int]:
    """The shape as the format counts: of F4 it counts numbers, and torch bytes of two numbers."""
    if entry.dtype == "float4_e2m1fn_x2" and entry.shape:
        return [*entry.shape[:-1], entry.shape[-1] * 2]
    return list(entry.shape)


def _refuse_layout(entry: TensorEntry) -> None:
    """Raise StoreError for a tensor that is no array of plain elements."""
    match entry.form:
        case Quantized():
            what, remedy = "quantized, and safetensors has no scales", "dequantize the model"
        case Sparse(layout=layout):
            what, remedy = f"sparse ({layout}), and safetensors stores dense tensors", ".to_dense()"
        case Nested():
            what = "nested, and safetensors stores tensors of one shape"
            remedy = "store its rows apart"
        case _:
            return
    raise StoreError(f"{entry.key} is {what}.", f"Save it as .pth, or {remedy} first.")
