"""A cache of measured numbers, by the contents of the tensors."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence

from core.checkpoint import Derived, Nested, Pieces, Quantized, Record, Sparse, TensorEntry
from core.compare.tensor_numbers import ALLCLOSE, Numbers, Tolerance

Pair = tuple[TensorEntry, TensorEntry]


class NumbersCache:
    """Numbers of up to `most` pairs of tensors; the least recently used are dropped first.

    Tensors are identified by their bytes and how these are read, not by their keys, so that
    sessions with the same files share what was measured. Safe to use from several threads.
    """

    def __init__(self, most: int = 100_000) -> None:
        self.most = most
        self._numbers: OrderedDict[Hashable, Numbers] = OrderedDict()
        self._lock = threading.Lock()

    def known(
        self, pairs: Sequence[Pair], tolerance: Tolerance = ALLCLOSE
    ) -> Mapping[int, Numbers]:
        """Index into `pairs` → numbers, for the pairs that were measured with this tolerance."""
        keys = [_key(pair, tolerance) for pair in pairs]
        known = {}
        with self._lock:
            for index, key in enumerate(keys):
                if (numbers := self._numbers.get(key)) is not None:
                    self._numbers.move_to_end(key)
                    known[index] = numbers
        return known

    def put(self, pair: Pair, tolerance: Tolerance, numbers: Numbers) -> None:
        """Store the numbers of a pair."""
        key = _key(pair, tolerance)
        with self._lock:
            self._numbers[key] = numbers
            self._numbers.move_to_end(key)
            while len(self._numbers) > self.most:
                self._numbers.popitem(last=False)

    def __len__(self) -> int:
        return len(self._numbers)


def contents_key(entry: TensorEntry) -> Hashable:
    """Equal for entries whose elements are the same bytes, read in the same way.

    A file is identified by its source's identity, not by its checksums: a person who makes a file
    can choose its CRC-32, and could so change the numbers that other sessions see.
    """
    return (
        _record_key(entry.record),
        entry.dtype,
        entry.shape,
        entry.stride,
        entry.storage_offset,
        entry.transforms,
        None if entry.form is None else _form_key(entry),
    )


def _key(pair: Pair, tolerance: Tolerance) -> Hashable:
    a, b = pair
    return contents_key(a), contents_key(b), tolerance


def _record_key(record: Record | None) -> Hashable:
    if record is None:
        return None
    return record.source.identity, record.offset, record.nbytes, record.big_endian


def _form_key(entry: TensorEntry) -> Hashable:
    match entry.form:
        case Quantized(scheme, scale, zero_point, axis):
            return "quantized", scheme, _number_key(scale), _number_key(zero_point), axis
        case Sparse(layout, parts, is_coalesced):
            return layout, tuple(map(contents_key, parts)), is_coalesced
        case Nested(sizes, strides, offsets):
            return "nested", contents_key(sizes), contents_key(strides), contents_key(offsets)
        case Pieces(pieces):
            return "pieces", tuple((piece.offsets, contents_key(piece.entry)) for piece in pieces)
        case Derived(operation, parts):
            return "derived", operation, tuple(map(contents_key, parts))
        case None:
            return None


def _number_key(number: float | TensorEntry) -> Hashable:
    return contents_key(number) if isinstance(number, TensorEntry) else number
