"""The sums over a chunk of two tensors in one loop, compiled by Numba when it is first called.

Importing this raises ImportError where Numba is not installed; numpy then does all the work. The
loops are written so that LLVM vectorizes them: they have no branch, take the maximum of floats by
their bits, and read arrays from end to end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK = 4096
"""Elements of both sides that stay in a core's L1 cache from one loop to the next."""

FAST = {"reassoc", "nsz", "contract", "arcp"}
"""What LLVM may assume about floats: sums in any order, but NaN and infinities must stay."""

INFINITE = 0x7FF0000000000000
"""The bits of infinity in float64. As integers, those of all finite positive numbers are
smaller."""

MIN_SQUARES, MAX_SQUARES = 2.0**-900, 2.0**1000
"""Between these, no square that matters under- or overflowed in a sum of squares."""

UNLIKE = 1e6
"""Ratio of squared norms beyond which the law of cosines gives their product too inexactly."""


def _compiled(function: Callable[..., Any]) -> Any:
    """Compile for each combination of dtypes at its first call, and store the result on disk."""
    try:
        return numba.njit(nogil=True, fastmath=FAST, cache=True)(function)
    except RuntimeError:  # Numba finds no folder that it can write to
        return numba.njit(nogil=True, fastmath=FAST)(function)


def forget_compiled() -> None:
    """Delete the compiled code on disk, so that the next call compiles it again."""
    folder = stream.stats.cache_path
    for path in Path(folder).glob(f"{Path(__file__).stem}.*.nb[ci]") if folder else ():
        with contextlib.suppress(OSError):
            path.unlink()


@_compiled
def _sums(a: Array, b: Array, rtol: float, atol: float) -> tuple[Any, ...]:
    absolute = dd = aa = bb = 0.0
    largest = np.int64(0)
    outside = np.int64(0)
    for i in range(a.size):
        x, y = np.float64(a[i]), np.float64(b[i])
        d = abs(y - x)
        absolute += d
        dd += d * d
        aa += x * x
        bb += y * y
        bits = np.float64(d).view(np.int64)
        largest = bits if bits > largest else largest
        outside += d > atol + rtol * abs(y)
    return absolute, dd, aa, bb, largest, outside


@_compiled
def _counts(a: Array, b: Array) -> tuple[Any, ...]:
    """Counts of changed elements, of different sign bits, and of nonzeros in A and in B.

    They are int32, so that a vector instruction takes as many of them as float32 elements.
    """
    changed = unlike = some_a = some_b = np.int32(0)
    for i in range(a.size):
        x, y = a[i], b[i]
        changed = np.int32(changed + (x != y))
        unlike = np.int32(unlike + (np.signbit(x) != np.signbit(y)))
        some_a = np.int32(some_a + (x != 0))
        some_b = np.int32(some_b + (y != 0))
    return changed, unlike, some_a, some_b


@_compiled
def _flips(a: Array, b: Array) -> Any:
    """Sign flips where there are zeros: these have no sign, though -0.0 has the sign bit."""
    flips = np.int32(0)
    for i in range(a.size):
        x, y = a[i], b[i]
        flips = np.int32(flips + (((x < 0) != (y < 0)) & (x != 0) & (y != 0)))
    return flips


@_compiled
def measure(a: Array, b: Array, rtol: float, atol: float, floats: Array, counts: Array) -> bool:
    """Add the numbers of B minus A, two arrays of float32 or two of float64, to the sums.

    `floats` (float64) has the sums of |d|, d², a² and b², and the largest |d|. `counts` (int64) has
    the elements that changed, are outside the tolerance, flipped their sign, and are not zero in A
    and in B. Returns False and adds nothing where there is a NaN or an infinity, or where squares
    under- or overflow.
    """
    absolute = dd = aa = bb = 0.0
    largest = np.int64(0)
    changed = outside = flips = some_a = some_b = 0
    for start in range(0, a.size, BLOCK):
        x, y = a[start : start + BLOCK], b[start : start + BLOCK]
        absolute_, dd_, aa_, bb_, largest_, outside_ = _sums(x, y, rtol, atol)
        changed_, flips_, some_a_, some_b_ = _counts(x, y)
        if min(some_a_, some_b_) < x.size:
            flips_ = _flips(x, y)
        absolute += absolute_
        dd += dd_
        aa += aa_
        bb += bb_
        largest = largest_ if largest_ > largest else largest
        outside += outside_
        changed += changed_
        flips += flips_
        some_a += some_a_
        some_b += some_b_
    if largest >= INFINITE or dd > MAX_SQUARES or aa > MAX_SQUARES or bb > MAX_SQUARES:
        return False
    if (
        (changed and dd < MIN_SQUARES)
        or (some_a and aa < MIN_SQUARES)
        or (some_b and bb < MIN_SQUARES)
    ):
        return False
    if some_a and some_b and (aa > UNLIKE * bb or bb > UNLIKE * aa):
        return False
    floats[0] += absolute
    floats[1] += dd
    floats[2] += aa
    floats[3] += bb
    floats[4] = max(floats[4], np.int64(largest).view(np.float64))
    counts[0] += changed
    counts[1] += outside
    counts[2] += flips
    counts[3] += some_a
    counts[4] += some_b
    return True


@_compiled
def _convert(values: Array, out: Array) -> None:
    for i in range(values.size):
        out[i] = values[i]


@_compiled
def _look_up(values: Array, table: Array, out: Array) -> None:
    for i in range(values.size):
        out[i] = table[values[i]]


@_compiled
def _widen_bfloat16(values: Array, out: Array) -> None:
    """From the bits of bfloat16 (uint16) to those of float32: a bfloat16 is the upper half of
    one."""
    for i in range(values.size):
        out[i] = np.uint32(values[i]) << np.uint32(16)


@_compiled
def _widen_float16(values: Array, out: Array) -> None:
    """From the bits of float16 (uint16) to float32.

    The exponent's bias goes from 15 to 127 (IEEE 754). A subnormal is a multiple of 2^-24. The
    exponent of infinities and NaN is all ones in both.
    """
    for i in range(values.size):
        size = np.uint32(values[i]) & np.uint32(0x7FFF)
        bits = (size << np.uint32(13)) + np.uint32(112 << 23)
        bits = bits + np.uint32(112 << 23) if size >= 0x7C00 else bits
        normal = np.uint32(bits).view(np.float32)
        small = np.float32(np.int32(size)) * np.float32(2.0**-24)
        magnitude = small if size < 0x400 else normal
        out[i] = -magnitude if values[i] >= 0x8000 else magnitude


AS_IT_IS, BYTES, BFLOAT16, FLOAT16, INT16, UINT16, INT32, UINT32 = range(8)
"""What a chunk's bytes are: floats that need no conversion, or the dtype to convert from."""


@_compiled
def widen(kind: int, raw: Array, table: Array, out: Array) -> None:
    """Convert bytes of a kind to the float32 or float64 of `out`, which represents them exactly.

    `table` has the numbers that the 256 values of a byte stand for, for the kind BYTES.
    """
    if kind == BYTES:
        _look_up(raw, table, out)
    elif kind == BFLOAT16:
        _widen_bfloat16(raw.view(np.uint16), out.view(np.uint32))
    elif kind == FLOAT16:
        _widen_float16(raw.view(np.uint16), out)
    elif kind == INT16:
        _convert(raw.view(np.int16), out)
    elif kind == UINT16:
        _convert(raw.view(np.uint16), out)
    elif kind == INT32:
        _convert(raw.view(np.int32), out)
    elif kind == UINT32:
        _convert(raw.view(np.uint32), out)


_pread = numba.types.ExternalFunction(
    "pread",
    numba.types.int64(
        numba.types.int32, numba.types.voidptr, numba.types.uint64, numba.types.int64
    ),
)
"""pread(2), called directly: os.pread would take and release Python's lock for each chunk."""


@_compiled
def stream(
    numel: int,
    side_a: tuple[Any, ...],
    side_b: tuple[Any, ...],
    rtol: float,
    atol: float,
    floats: Array,
    counts: Array,
) -> int:
    """Read `numel` elements of both sides and measure them, chunk by chunk.

    A side is (file descriptor, offset in the file, kind of the bytes, bytes per element, table for
    `widen`, buffer for a chunk's bytes, buffer for as many floats). Returns how many elements were
    measured: fewer than `numel` where `measure` refuses the next chunk, or it cannot be read.
    """
    file_a, at_a, kind_a, size_a, table_a, raw_a, wide_a = side_a
    file_b, at_b, kind_b, size_b, table_b, raw_b, wide_b = side_b
    done = 0
    while done < numel:
        count = min(wide_a.size, numel - done)
        if _pread(file_a, raw_a.ctypes, count * size_a, at_a + done * size_a) != count * size_a:
            return done
        if _pread(file_b, raw_b.ctypes, count * size_b, at_b + done * size_b) != count * size_b:
            return done
        if kind_a == AS_IT_IS:
            a = raw_a.view(wide_a.dtype)[:count]
        else:
            a = wide_a[:count]
            widen(kind_a, raw_a[: count * size_a], table_a, a)
        if kind_b == AS_IT_IS:
            b = raw_b.view(wide_b.dtype)[:count]
        else:
            b = wide_b[:count]
            widen(kind_b, raw_b[: count * size_b], table_b, b)
        if not measure(a, b, rtol, atol, floats, counts):
            return done
        done += count
    return done
