"""Reads the runs of opcodes that torch.save writes for a tensor, and for a module's hooks, at once.

A tensor takes some thirty opcodes, always in the same order: its key, `_rebuild_tensor_v2` fetched
from the memo, the storage's persistent id, offset, size, stride, requires_grad, an empty
OrderedDict, and a put into the memo after each (torch/_tensor.py, _reduce_ex_internal;
Lib/pickle.py, protocol 2). A parameter has ten more around them (torch/nn/parameter.py,
__reduce_ex__). A module has a dozen empty OrderedDicts for its hooks, each after its name. One
regular expression matches a run and its numbers. Where it does not match, the unpickler reads the
opcodes one by one, with the same result.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import chain

from core.checkpoint.pickles.constructors import CONSTRUCTORS, ordered_dict
from core.checkpoint.pickles.inert import Global, InertDict, InertTensor, Storage, Tree
from core.checkpoint.pickles.tensor_rebuilds import rebuild_parameter, rebuild_tensor

OBJECTS = 8
"""Objects that a tensor takes of a pickle's budget: as many as its two calls, read one by one."""

MORE_OF_PARAMETER = 5
"""Objects that a parameter takes besides: as many as its own two calls."""

MAX_RUNS = 1000
"""Runs that are read in one call: Python's pickler writes as many before a SETITEMS."""

_GET = rb"(h.|j....)"  # BINGET, LONG_BINGET
_NUMBER = rb"(?:K.|M..|J....)"  # BININT1, BININT2, BININT
_NUMBERS = rb"(\)|%(n)b\x85|%(n)b{2}\x86|%(n)b{3}\x87|\(%(n)b{4,8}t)" % {b"n": _NUMBER}
"""A tuple of up to eight numbers: EMPTY_TUPLE, TUPLE1 to TUPLE3, or MARK and TUPLE."""


def _run(put: bytes) -> re.Pattern[bytes]:
    """The pattern of the run of a tensor, or of a parameter, which has its own function before it.

    Its key may be written out before that, or fetched. `put` matches a put into the memo.
    """
    return re.compile(
        rb"(?:X(.)\0\0\0([ -~]{1,255})" + put + rb"|" + _GET + rb")?(?P<parameter>" + _GET + rb")?"
        # _rebuild_tensor_v2, then "storage", the storage's class, key, location, elements
        + _GET + rb"\(\(" + _GET + _GET + rb"X(.)\0\0\0([0-9]{1,20})" + put + _GET
        + rb"(" + _NUMBER + rb"|\x8a.{1,9}?)(N?)t" + put + rb"Q"
        # storage offset, size, stride, requires_grad, OrderedDict
        + rb"(" + _NUMBER + rb")" + _NUMBERS + rb"(?:" + put + rb")?" + _NUMBERS
        + rb"(?:" + put + rb")?([\x88\x89])" + _GET + rb"\)R" + put + rb"t" + put + rb"R" + put
        # of a parameter: requires_grad, OrderedDict
        + rb"(?(parameter)([\x88\x89])" + _GET + rb"\)R" + put + rb"\x87" + put + rb"R" + put
        + rb")",
        re.DOTALL,
    )  # fmt: skip


_SHORT, _LONG = _run(rb"q(.)"), _run(rb"r(....)")
"""BINPUT writes the memo's first 256 entries, LONG_BINPUT the others."""

_DICTS = re.compile(rb"(?:h.h.\)Rr....)+", re.DOTALL)
"""The run of a module's hooks, each a name and an empty OrderedDict, both by BINGET."""

_PUT_OF_DICT = struct.Struct("7x4s")
DICT = _PUT_OF_DICT.size
"""Bytes of each; the last four are the index of LONG_BINPUT."""

_TEXT = frozenset({str})
_EACH = re.compile(_NUMBER, re.DOTALL)
_UINT32 = struct.Struct("<I")

MAX_CACHED = 10_000
"""Numbers that are cached by their opcodes: a file has few different offsets and shapes."""

_SEARCHED = 4096
"""Bytes at a pickle's end that are searched for a run."""


def ends_in_runs(data: bytes) -> bool:
    """Whether the last bytes contain a tensor's run, so that the pickle probably goes on."""
    return _LONG.search(data, max(0, len(data) - _SEARCHED)) is not None


class TensorRuns:
    """The runs of one pickle; `persistent` resolves the storages' persistent ids."""

    def __init__(self, data: bytes, persistent: Callable[[Tree], Tree]) -> None:
        self.data = data
        self.persistent = persistent
        self.numbers = _Numbers()
        self.indices = _Indices()

    def read(
        self, at: int, memo: dict[int, Tree], fetched: Container[bytes] | None
    ) -> tuple[list[Tree], int, int] | None:
        """Read the runs that begin at `at`; None where there is none.

        Returns the keys and tensors that they push, the objects that they take of the budget, and
        the offset at which the last one ends. Of the objects that their opcodes put into the memo,
        only those in `fetched` are put there. Raises what `persistent` raises.
        """
        data, persistent, numbers = self.data, self.persistent, self.numbers
        pushed: list[Tree] = []
        runs = objects = 0
        gets: tuple[bytes | None, ...] = ()
        short = len(memo) < 256
        # `fetched` is not computed before the pickle's first LONG_BINPUT, which is read by itself.
        if fetched is None and not short:
            return None
        match = (_SHORT if short else _LONG).match
        disjoint = fetched.isdisjoint if isinstance(fetched, frozenset) and not short else None
        while runs < MAX_RUNS and (run := match(data, at)) is not None:
            (key_length, written_key, put_key, fetched_key, parameter, _, rebuild, kind,
             storage_class, name_length, name, put_name, location, count, none, put_id, offset,
             size, put_size, stride, put_stride, grad, hooks, put_hooks, put_args, put_tensor,
             own_grad, own_hooks, put_own_hooks, put_own_args, put_parameter,
             ) = run.groups()  # fmt: skip
            shape, strides, first, numel = (
                numbers[size], numbers[stride], numbers[offset], numbers[count],
            )  # fmt: skip
            if (
                name_length[0] != len(name)
                or (written_key is not None and key_length[0] != len(written_key))
                or shape is None
                or strides is None
                or first is None
                or numel is None
                or len(shape) != len(strides)
            ):
                break
            # The tensors of a file fetch the same objects, so these are looked up once.
            if gets != (rebuild, hooks, kind, storage_class, location, parameter, own_hooks):
                gets = (rebuild, hooks, kind, storage_class, location, parameter, own_hooks)
                operands = [memo.get(self.indices[get]) for get in gets if get is not None]
                if None in operands:  # also an entry that is None: the opcodes, one by one, decide
                    break
                function, make_hooks, kind_text, class_, device, *own = operands
                if (
                    not _calls(function, rebuild_tensor)
                    or not _calls(make_hooks, ordered_dict)
                    or (own and not _calls(own[0], rebuild_parameter))
                    or (own and not _calls(own[1], ordered_dict))
                ):
                    break
            key: Tree = None
            if written_key is not None:
                key = written_key.decode()
            elif fetched_key is not None:
                key = memo.get(self.indices[fetched_key])
                if type(key) is not str:
                    break
            puts = (
                put_key, put_name, put_id, put_size, put_stride, put_hooks, put_args, put_tensor,
                put_own_hooks, put_own_args, put_parameter,
            )  # fmt: skip
            # torch's pickles fetch hardly any of these again, so that nothing needs to be written.
            writes_memo = disjoint is None or not disjoint(puts)
            if writes_memo and (parameter or not self._apart((*gets, fetched_key), puts)):
                break
            text = name.decode()
            identifier = (
                (kind_text, class_, text, device, numel[0], None)
                if none
                else (kind_text, class_, text, device, numel[0])
            )
            storage = persistent(identifier)
            if type(storage) is not Storage:
                break
            requires_grad = (own_grad or grad) == b"\x88"
            tensor = InertTensor(storage, storage.dtype, shape, strides, first[0], requires_grad)
            if key is not None:
                pushed.append(key)
            objects += OBJECTS if parameter is None else OBJECTS + MORE_OF_PARAMETER
            if writes_memo:
                attributes = InertDict()
                args = (storage, first[0], shape, strides, requires_grad, attributes)
                made = (key, text, identifier, shape, strides, attributes, args, tensor)
                _write_memo(memo, fetched, puts[:8], made)
                gets = ()  # the memo has changed, and perhaps the objects that are fetched
            pushed.append(tensor)
            at = run.end()
            runs += 1
        return (pushed, objects, at) if runs else None

    def read_dicts(
        self, at: int, memo: Mapping[int, Tree], fetched: Container[bytes] | None
    ) -> tuple[list[Tree], int] | None:
        """Read the empty OrderedDicts that begin at `at`, each after its key.

        Returns the keys and the dicts, and the offset at which the last one ends. None where a key
        is no text, or the memo gets one of the dicts.
        """
        run = _DICTS.match(self.data, at)
        if run is None or not isinstance(fetched, frozenset):
            return None
        found = run.group()
        keys, functions = found[1::DICT], found[3::DICT]
        names = [memo.get(key) for key in keys]
        if (
            functions.count(functions[0]) < len(functions)
            or not _calls(memo.get(functions[0]), ordered_dict)
            or not _TEXT.issuperset(map(type, names))
            or not fetched.isdisjoint(chain.from_iterable(_PUT_OF_DICT.iter_unpack(found)))
        ):
            return None
        pushed: list[Tree] = names * 2
        pushed[::2], pushed[1::2] = names, [InertDict() for _ in names]
        return pushed, run.end()

    def _apart(self, gets: Sequence[bytes | None], puts: Sequence[bytes | None]) -> bool:
        """Whether a run fetches none of the memo's entries that it writes itself."""
        written = {int.from_bytes(put, "little") for put in puts if put is not None}
        return written.isdisjoint(self.indices[get] for get in gets if get is not None)


def _calls(function: Tree, constructor: Callable[..., Tree]) -> bool:
    return type(function) is Global and CONSTRUCTORS.get(function.name) is constructor


def _write_memo(
    memo: dict[int, Tree],
    fetched: Container[bytes] | None,
    puts: Sequence[bytes | None],
    objects: Sequence[Tree],
) -> None:
    """Put a run's objects into the memo: those in its first 256 entries, and those in `fetched`."""
    for put, value in zip(puts, objects, strict=True):
        if put is not None and (len(put) == 1 or (fetched is not None and put in fetched)):
            memo[int.from_bytes(put, "little")] = value


class _Numbers(dict[bytes, tuple[int, ...] | None]):
    """A cache of the numbers that opcodes push; None if one is negative, or a length is wrong."""

    def __missing__(self, raw: bytes) -> tuple[int, ...] | None:
        if len(self) >= MAX_CACHED:
            self.clear()
        opcodes = [raw] if raw[0] == 0x8A else _EACH.findall(raw)
        numbers = tuple(map(_number, opcodes))
        self[raw] = valid = numbers if all(number >= 0 for number in numbers) else None
        return valid


class _Indices(dict[bytes, int]):
    """A cache of memo indices, by the opcodes that fetch from there."""

    def __missing__(self, raw: bytes) -> int:
        if len(self) >= MAX_CACHED:
            self.clear()
        self[raw] = index = raw[1] if raw[0] == 0x68 else _UINT32.unpack_from(raw, 1)[0]
        return index


def _number(raw: bytes) -> int:
    """The number of a BININT1, BININT2, BININT or LONG1; −1 if a LONG1's length byte is wrong."""
    if raw[0] == 0x8A:
        return int.from_bytes(raw[2:], "little", signed=True) if raw[1] == len(raw) - 2 else -1
    return int.from_bytes(raw[1:], "little", signed=raw[0] == 0x4A)
