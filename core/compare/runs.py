"""The numbers of plain runs of elements, chunk by chunk from the files through the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import sqrt
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.checkpoint.entries import ITEMSIZES, TensorEntry
from core.checkpoint.tensors import torch_dtype
from core.compare.block_sums import BlockSums
from core.compare.part import Part
from core.elements import BLOCK

CHUNK = 1 << 17
"""Elements of each side at once: their bytes, and the floats that they become, fit in a core's
second cache (2 MB where this was measured), so that only the files' bytes come from memory."""

WIDE = {
    "float64": "float64",
    "float32": "float32",
    "float16": "float32",
    "bfloat16": "float32",
    "int32": "float64",
    "uint32": "float64",
    "int16": "float32",
    "uint16": "float32",
    **dict.fromkeys(("int8", "uint8", "bool", "float8_e8m0fnu"), "float32"),
    **{f"float8_{kind}": "float32" for kind in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz")},
}
"""The dtypes that the kernel takes, and in which float it holds every value of theirs exactly."""


def load_kernel() -> ModuleType | None:
    """The compiled loops; None where Numba is not installed."""
    try:
        from core.compare import kernel
    except ImportError:
        return None
    return kernel


def is_run(entry: TensorEntry) -> bool:
    """Whether the elements follow one another in the record as they do in the tensor."""
    if entry.record is None or entry.form is not None:
        return False
    step = 1
    for length, stride in zip(reversed(entry.shape), reversed(entry.stride), strict=True):
        if length != 1 and stride != step:
            return False
        step *= length
    return True


def suits_kernel(a: TensorEntry, b: TensorEntry) -> bool:
    """Whether the kernel takes these two runs: the bytes are what they say, and exact as floats."""
    wide = WIDE.get(a.dtype)
    return wide is not None and wide == WIDE.get(b.dtype) and _as_stored(a) and _as_stored(b)


def _as_stored(entry: TensorEntry) -> bool:
    assert entry.record is not None
    swapped = entry.record.big_endian and ITEMSIZES[entry.dtype] > 1
    return not (swapped or entry.transforms)


@dataclass(frozen=True, slots=True)
class _Side:
    """Room for a chunk's bytes, and for the floats that they become."""

    raw: NDArray[np.uint8]
    floats: NDArray[np.float32]


class Runs:
    """Measures runs, in buffers that are used again and again. One for each thread."""

    def __init__(self, kernel: ModuleType, sums: BlockSums) -> None:
        self._kernel = kernel
        self._sums = sums
        self._sides = [
            _Side(np.empty(8 * CHUNK, np.uint8), np.empty(2 * CHUNK, np.float32)) for _ in "ab"
        ]
        self._floats = np.zeros(5)
        self._counts = np.zeros(5, np.int64)

    def part(self, a: TensorEntry, b: TensorEntry, start: int, stop: int) -> Part:
        """The numbers of elements `start` to `stop` of a run of A and one of B that suit the
        kernel. Raises SourceError."""
        tolerance = self._sums.tolerance
        self._floats[:] = 0
        self._counts[:] = 0
        measured, odd = 0, Part()
        side_a, side_b = self._sides
        most = CHUNK if WIDE[a.dtype] == "float32" else CHUNK // 2
        for at in range(start, stop, most):
            numel = min(most, stop - at)
            raw_a, raw_b = _read(a, at, numel, side_a), _read(b, at, numel, side_b)
            x, y = self._as_floats(a, raw_a, side_a), self._as_floats(b, raw_b, side_b)
            rtol, atol = tolerance.rtol, tolerance.atol
            if self._kernel.measure(x, y, rtol, atol, self._floats, self._counts):
                measured += numel
            else:
                odd += self._by_torch(a, b, raw_a, raw_b)
        return self._gathered(measured) + odd

    def _as_floats(self, entry: TensorEntry, raw: NDArray[np.uint8], side: _Side) -> NDArray[Any]:
        dtype = entry.dtype
        if dtype in ("float32", "float64"):
            return raw.view(dtype)
        numel = raw.size // ITEMSIZES[dtype]
        floats = side.floats.view(WIDE[dtype])[:numel]
        if dtype == "bfloat16":
            self._kernel.widen_bfloat16(raw.view(np.uint16), floats.view(np.uint32))
        elif dtype == "float16":
            self._kernel.widen_float16(raw.view(np.uint16), floats)
        elif ITEMSIZES[dtype] == 1:
            self._kernel.look_up(raw, _table(dtype), floats)
        else:
            self._kernel.convert(raw.view(dtype), floats)
        return floats

    def _by_torch(
        self, a: TensorEntry, b: TensorEntry, raw_a: NDArray[np.uint8], raw_b: NDArray[np.uint8]
    ) -> Part:
        x = torch.from_numpy(raw_a).view(torch_dtype(a.dtype))
        y = torch.from_numpy(raw_b).view(torch_dtype(b.dtype))
        part = Part()
        for start in range(0, x.numel(), BLOCK):
            part += self._sums.part(x[start : start + BLOCK], y[start : start + BLOCK])
        return part

    def _gathered(self, measured: int) -> Part:
        absolute, dd, aa, bb, largest = self._floats.tolist()
        changed, outside, flips, some_a, some_b = self._counts.tolist()
        norm_a, norm_b = sqrt(aa), sqrt(bb)
        # the law of cosines: one sum less to take in the loop
        cosine = (aa + bb - dd) / (2 * norm_a * norm_b) if norm_a and norm_b else 0.0
        return Part(
            measured,
            largest,
            absolute,
            norm_a,
            norm_b,
            sqrt(dd),
            cosine,
            changed,
            outside,
            flips,
            measured - some_a,
            measured - some_b,
        )


def _read(entry: TensorEntry, at: int, numel: int, side: _Side) -> NDArray[np.uint8]:
    assert entry.record is not None
    itemsize = ITEMSIZES[entry.dtype]
    raw = side.raw[: numel * itemsize]
    start = entry.record.offset + (entry.storage_offset + at) * itemsize
    entry.record.source.read_into(start, raw.data)
    return raw


@cache
def _table(dtype: str) -> NDArray[np.float32]:
    """What each byte stands for."""
    every = torch.arange(256, dtype=torch.uint8).view(torch_dtype(dtype))
    table: NDArray[np.float32] = every.to(torch.float32).numpy()
    return table
