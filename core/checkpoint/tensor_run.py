"""The run of opcodes that torch.save writes for a tensor, recognised as a whole.

A tensor takes some thirty opcodes, always in one order: `_rebuild_tensor_v2` fetched from the
memo, the storage's persistent id, offset, size, stride, requires_grad, an empty OrderedDict, and
each of them put into the memo (torch/_tensor.py, _reduce_ex_internal; Lib/pickle.py, protocol 2).
One regular expression finds where a run ends and its numbers. Other bytes are no run, and the
opcodes are read one by one: the result is the same.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping

from core.checkpoint.constructors import CONSTRUCTORS, ordered_dict, rebuild_tensor
from core.checkpoint.inert import Global, InertTensor, Storage, Tree

OBJECTS = 8
"""What a run takes of a pickle's budget: what its two calls take when they are read singly."""

_GET = rb"(h.|j.{4})"
_PUT = rb"r(.{4})"
_NUMBER = rb"(?:K.|M..|J.{4})"
_NUMBERS = rb"(\)|%(n)b\x85|%(n)b{2}\x86|%(n)b{3}\x87|\(%(n)b{4,8}t)" % {b"n": _NUMBER}
_TENSOR = re.compile(
    # _rebuild_tensor_v2, then "storage", the storage's class, key, location, count of elements
    _GET + rb"\(\(" + _GET + _GET + rb"X(.)\0\0\0(\d{1,9})" + _PUT + _GET
    + rb"(" + _NUMBER + rb"|\x8a.{1,9}?)(N?)t" + _PUT + rb"Q"
    # storage offset, size, stride, requires_grad, OrderedDict
    + rb"(" + _NUMBER + rb")" + _NUMBERS + rb"(?:" + _PUT + rb")?" + _NUMBERS
    + rb"(?:" + _PUT + rb")?([\x88\x89])" + _GET + rb"\)R" + _PUT + rb"t" + _PUT + rb"R" + _PUT,
    re.DOTALL,
)  # fmt: skip
_EACH = re.compile(_NUMBER, re.DOTALL)
_UINT32 = struct.Struct("<I")

MAX_KNOWN = 10_000
"""Numbers that are kept by the bytes that say them: offsets and shapes are few and come often."""


class TensorRuns:
    """The runs of one pickle; `persistent` resolves the storages' persistent ids."""

    def __init__(self, data: bytes, persistent: Callable[[Tree], Tree]) -> None:
        self.data = data
        self.persistent = persistent
        self.numbers = _Numbers()
        self.indices = _Indices()

    def read(
        self, at: int, memo: Mapping[int, Tree], fetched: frozenset[bytes]
    ) -> tuple[InertTensor, int] | None:
        """The tensor whose run begins at `at`, and where the run ends; None where there is none, or
        where something in it is fetched from the memo later. Raises what `persistent` does."""
        run = _TENSOR.match(self.data, at)
        if run is None:
            return None
        (rebuild, kind, storage_class, length, key, put_key, location, count, none, put_id, offset,
         size, put_size, stride, put_stride, requires_grad, hooks, put_hooks, put_args, put_tensor,
         ) = run.groups()  # fmt: skip
        if length[0] != len(key) or not fetched.isdisjoint(
            (put_key, put_id, put_size, put_stride, put_hooks, put_args, put_tensor)
        ):
            return None
        numbers, indices, get = self.numbers, self.indices, memo.get
        shape, strides = numbers[size], numbers[stride]
        first, numel = numbers[offset], numbers[count]
        if (
            not _calls(get(indices[rebuild]), rebuild_tensor)
            or not _calls(get(indices[hooks]), ordered_dict)
            or shape is None
            or strides is None
            or first is None
            or numel is None
            or len(shape) != len(strides)
        ):
            return None
        # What the memo does not hold is None here, which no storage has in these places.
        identifier: tuple[Tree, ...] = (
            get(indices[kind]), get(indices[storage_class]), key.decode(), get(indices[location]),
            numel[0],
        )  # fmt: skip
        storage = self.persistent((*identifier, None) if none else identifier)
        if type(storage) is not Storage:
            return None
        tensor = InertTensor(
            storage, storage.dtype, shape, strides, first[0], requires_grad == b"\x88"
        )
        return tensor, run.end()


class _Numbers(dict[bytes, tuple[int, ...] | None]):
    """The numbers that opcodes push; None where one is negative or its length is another."""

    def __missing__(self, raw: bytes) -> tuple[int, ...] | None:
        if len(self) >= MAX_KNOWN:
            self.clear()
        opcodes = [raw] if raw[0] == 0x8A else _EACH.findall(raw)
        numbers = tuple(map(_number, opcodes))
        self[raw] = found = numbers if all(number >= 0 for number in numbers) else None
        return found


class _Indices(dict[bytes, int]):
    """The memo's indices, by the opcodes that fetch from there."""

    def __missing__(self, raw: bytes) -> int:
        if len(self) >= MAX_KNOWN:
            self.clear()
        self[raw] = found = raw[1] if raw[0] == 0x68 else _UINT32.unpack_from(raw, 1)[0]
        return found


def _number(raw: bytes) -> int:
    """A BININT1, BININT2, BININT or LONG1; -1 where a LONG1 has another length than it says."""
    if raw[0] == 0x8A:
        return int.from_bytes(raw[2:], "little", signed=True) if raw[1] == len(raw) - 2 else -1
    return int.from_bytes(raw[1:], "little", signed=raw[0] == 0x4A)


def _calls(function: Tree, constructor: Callable[..., Tree]) -> bool:
    return type(function) is Global and CONSTRUCTORS.get(function.name) is constructor
