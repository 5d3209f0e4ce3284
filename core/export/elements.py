"""A tensor's elements written, a chunk at a time."""

from __future__ import annotations

from typing import Protocol

import torch

from core.checkpoint.entries import Quantized, TensorEntry
from core.errors import StoreError
from core.export.checked import checked
from core.export.words import CHUNK, Report
from core.tensors.reading import chunks


class Writable(Protocol):
    """What takes bytes."""

    def write(self, data: memoryview, /) -> int:
        """Write them all."""


class Counter:
    """Bytes written and read again so far, told to whoever asked."""

    def __init__(self, total: int, report: Report | None) -> None:
        self.done = 0
        self.total = total
        self.report = report

    def add(self, nbytes: int, what: str) -> None:
        """So many more. Raises what the report raises."""
        self.done += nbytes
        if self.report is not None:
            self.report(min(self.done, self.total), self.total, what)


def write_elements(entry: TensorEntry, file: Writable, counter: Counter) -> None:
    """Write the elements in C order. Raises as `chunks` and `checked` do."""
    for chunk in chunks(checked(entry), CHUNK):
        raw = chunk.contiguous().view(torch.uint8).numpy()
        file.write(raw.data.cast("B"))
        counter.add(raw.nbytes, entry.key)


def refuse_without_scales(entry: TensorEntry) -> None:
    """Raises StoreError for integers that need scales which the entry has not."""
    quantized = entry.dtype.startswith(("qint", "quint"))
    if quantized != isinstance(entry.form, Quantized) or (quantized and entry.transforms):
        raise StoreError(
            f"{entry.key} is quantized, and its scales cannot be written.",
            "Drop the quantized keys, or dequantize the model first.",
        )
