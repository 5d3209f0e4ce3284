"""The numbers of tensors whose elements lie one after another, by the kernel, chunk by chunk."""

from __future__ import annotations

import logging
from functools import cache
from math import sqrt
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from core.checkpoint import ITEMSIZES, TensorEntry, lies_in_order
from core.checkpoint.containers import Descriptor, file_of
from core.compare.numbers.block_sums import BlockSums
from core.compare.numbers.partial_sums import PartialSums
from core.streaming import numbers_of, slice_of

CHUNK = 1 << 18
"""Bytes of floats per side and chunk. Together with the bytes that they are converted from, they
fit in a core's L2 cache, so that only the files' bytes come from memory."""

KINDS = {
    "float64": ("AS_IT_IS", "float64"),
    "float32": ("AS_IT_IS", "float32"),
    "float16": ("FLOAT16", "float32"),
    "bfloat16": ("BFLOAT16", "float32"),
    "int32": ("INT32", "float64"),
    "uint32": ("UINT32", "float64"),
    "int16": ("INT16", "float32"),
    "uint16": ("UINT16", "float32"),
    **dict.fromkeys(("int8", "uint8", "bool", "float8_e8m0fnu"), ("BYTES", "float32")),
    **{
        f"float8_{kind}": ("BYTES", "float32")
        for kind in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz")
    },
}
"""Dtypes that the kernel takes → its name for their bytes, and the float dtype that represents all
their values exactly."""


KERNEL = "core.compare.numbers.kernel"
"""The module of the compiled loops."""

NOTHING = PartialSums()
"""The sums over no element."""


def load_kernel() -> ModuleType | None:
    """The compiled loops; None where Numba is not installed or cannot be imported."""
    try:
        from core.compare.numbers import kernel
    except ImportError:
        return None
    except Exception:  # Numba's own code may raise anything; the next comparison tries again
        logging.getLogger("loupe").exception("Numba cannot be imported: numpy does its work")
        return None
    return kernel


def suits_kernel(a: TensorEntry, b: TensorEntry) -> bool:
    """Whether the kernel can measure these two contiguous tensors: it can read both from their
    files unchanged, and converts both to the same float dtype."""
    if a.dtype not in KINDS or b.dtype not in KINDS or KINDS[a.dtype][1] != KINDS[b.dtype][1]:
        return False
    return _stands_in_a_file(a) and _stands_in_a_file(b)


def _stands_in_a_file(entry: TensorEntry) -> bool:
    record = entry.record
    if record is None or not lies_in_order(entry, unchanged=True):
        return False
    end = record.offset + (entry.storage_offset + entry.numel) * ITEMSIZES[entry.dtype]
    return end <= record.source.size and file_of(record.source, record.offset) is not None


class KernelMeasure:
    """Measures contiguous tensors with the kernel, in buffers that are reused. Each thread needs
    its own."""

    def __init__(self, kernel: ModuleType, sums: BlockSums) -> None:
        self._kernel = kernel
        self._compiles = True
        self._sums = sums
        self._raw = [np.empty(CHUNK, np.uint8) for _ in "ab"]
        self._wide = [np.empty(CHUNK, np.uint8) for _ in "ab"]
        self._floats = np.zeros(5)
        self._counts = np.zeros(5, np.int64)

    def part(self, a: TensorEntry, b: TensorEntry, start: int, stop: int) -> PartialSums:
        """The numbers of elements `start` to `stop` of B's tensor against A's, where
        `suits_kernel`. Chunks that the kernel refuses are measured by numpy. Raises SourceError."""
        tolerance = self._sums.tolerance
        self._floats[:] = 0
        self._counts[:] = 0
        at, by_numpy, measured = start, NOTHING, 0
        files = _opened(a), _opened(b)  # a descriptor stays open as long as it is referenced
        while at < stop:
            done = self._streamed(
                stop - at,
                self._side(a, files[0], at, 0),
                self._side(b, files[1], at, 1),
                tolerance.rtol,
                tolerance.atol,
                self._floats,
                self._counts,
            )
            measured += done
            at += done
            if at < stop:
                numel = min(CHUNK // ITEMSIZES[KINDS[a.dtype][1]], stop - at)
                part_a, part_b = (slice_of(entry, at, at + numel) for entry in (a, b))
                by_numpy += self._sums.whole(part_a, part_b)
                at += numel
        for entry in (a, b):
            assert entry.record is not None
            entry.record.source.read_into(entry.record.offset, memoryview(b""))
        by_kernel = self._gathered(measured)
        return by_kernel if by_numpy is NOTHING else by_kernel + by_numpy

    def _streamed(self, *given: object) -> int:
        """Call the kernel's `stream`; 0 where it cannot be compiled, so that numpy does the work.

        The compiled code is stored on disk, where it may be damaged, or the disk may be full. So
        after the first error it is deleted and compiled again.
        """
        for _ in range(2 if self._compiles else 0):
            try:
                done: int = self._kernel.stream(*given)
            except Exception as error:  # Numba compiles and reads its files in the first call
                log = logging.getLogger("loupe")
                log.warning("The compiled loops cannot be used", exc_info=error)
                self._kernel.forget_compiled()
            else:
                return done
        self._compiles = False
        return 0

    def _side(
        self, entry: TensorEntry, file: tuple[Descriptor, int], at: int, which: int
    ) -> tuple[object, ...]:
        itemsize = ITEMSIZES[entry.dtype]
        kind, wide = KINDS[entry.dtype]
        opened, begin = file
        offset = begin + (entry.storage_offset + at) * itemsize
        table = _table(entry.dtype if kind == "BYTES" else "uint8")
        room = self._raw[which], self._wide[which].view(wide)
        return opened.number, offset, getattr(self._kernel, kind), itemsize, table, *room

    def _gathered(self, measured: int) -> PartialSums:
        absolute, dd, aa, bb, largest = self._floats.tolist()
        changed, outside, flips, some_a, some_b = self._counts.tolist()
        norm_a, norm_b = sqrt(aa), sqrt(bb)
        # By the law of cosines, which saves one sum in the loop.
        cosine = (aa + bb - dd) / (2 * norm_a * norm_b) if norm_a and norm_b else 0.0
        return PartialSums(
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


def _opened(entry: TensorEntry) -> tuple[Descriptor, int]:
    """The opened file of an entry, and the offset of its record in it."""
    assert entry.record is not None
    place = file_of(entry.record.source, entry.record.offset)
    assert place is not None
    file, offset = place
    return file.opened(), offset


@cache
def _table(dtype: str) -> NDArray[np.float32]:
    """float32 [256]: the number that each value of a byte stands for."""
    return numbers_of(np.arange(256, dtype=np.uint8), dtype).values.astype(np.float32)
