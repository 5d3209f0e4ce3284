"""An unpickler that executes nothing: a loop over the opcodes of Python's pickle protocol.

It is plain Python, so each bound is in sight: strings and counts are checked against the data, the
memo is a dictionary, numbers have a largest length, and a callable is only ever one of ours. The
opcodes are those of Lib/pickletools.py, protocols 0 to 5.
"""

from __future__ import annotations

import re
import struct
from codecs import raw_unicode_escape_decode
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat

from core.checkpoint.containers.budget import OPERATIONS, work_left
from core.checkpoint.pickles.constructors import CONSTRUCTORS, MENTIONED, dict_key, ordered_dict
from core.checkpoint.pickles.first_uses import first_places
from core.checkpoint.pickles.global_verdicts import GlobalUse, Verdict, judge
from core.checkpoint.pickles.inert import (
    Global,
    InertArray,
    InertDict,
    InertDtype,
    Opaque,
    Storage,
    Tree,
)
from core.checkpoint.pickles.numpy_values import build_array, build_dtype
from core.checkpoint.pickles.tensor_run import OBJECTS, TensorRuns
from core.errors import CheckpointError, printable

MAX_DIGITS = 4000
"""Digits of a number that is written as text; Python itself refuses from 4,300 on."""

MAX_LONG = 2048
"""Bytes of a number that is written as bytes."""

LEAST = 100
"""Opcodes that a pickle counts for at least: to begin one takes time too."""

ROUND = 20_000
"""Opcodes after which it is looked at what was made."""

MAX_FETCHED = 600_000
"""Bytes that look like an opcode that fetches from the memo, before all is kept."""

MAX_NAME = 512
"""Characters of a class's qualified name."""

MAX_INNER = 16
"""Pickles inside of a pickle that are looked at."""

MAX_MENTIONS = 20_000
"""Distinct names in one file."""


class PickleError(CheckpointError):
    """The bytes are no whole, sound pickle."""


class PickleEndsEarly(PickleError):
    """The pickle goes on where the bytes end."""


@dataclass(frozen=True, slots=True)
class Unpickled:
    """The object, where its pickle ended in the data, and the bytes in it that begin like pickles
    themselves, the first few."""

    tree: Tree
    end: int
    inner: tuple[bytes, ...] = ()


class Mentions:
    """The globals of one or more pickles, counted; `record` is what the one being read is called,
    and `hidden` whether torch.load leaves it alone."""

    def __init__(self, record: str = "") -> None:
        self.record = record
        self.hidden = False
        self._uses: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._read: set[str] = set()

    def add(self, name: str, uses: int = 1) -> None:
        """Count uses of a name."""
        if name not in self._uses and len(self._uses) >= MAX_MENTIONS:
            raise _broken("it names more classes than any checkpoint does")
        self._uses[name] += uses
        self._first.setdefault(name, self.record)
        if not self.hidden:
            self._read.add(name)

    def take_hidden(self, other: Mentions, *, whole: bool) -> bool:
        """Add the names of a pickle that torch.load leaves alone; whether there were any.

        Where it was not `whole`, it may be bytes of another kind, and only what is dangerous
        counts: that would have run before the end was missed.
        """
        self.record, self.hidden = other.record, True
        names = [use.name for use in other._judged() if whole or use.verdict is Verdict.DANGEROUS]
        for name in names:
            self.add(name, other._uses[name])
        return bool(names)

    def judged(self, tree: Tree = None) -> tuple[GlobalUse, ...]:
        """Each name with its verdict, in the order in which the file gives them, and where it
        stands first: in which pickle and, what is not plain, where in the tree."""
        uses = self._judged()
        paths = first_places(tree, [use.name for use in uses if use.verdict is not Verdict.PLAIN])
        return tuple(
            replace(
                use,
                name=printable(use.name),
                where=": ".join(filter(None, (self._first[use.name], paths.get(use.name)))),
                hidden=use.name not in self._read,
            )
            for use in uses
        )

    def _judged(self) -> list[GlobalUse]:
        return [
            judge(name, count, known=name in CONSTRUCTORS or name in MENTIONED)
            for name, count in self._uses.items()
        ]


_INT32 = struct.Struct("<i")
_UINT16 = struct.Struct("<H")
_UINT32 = struct.Struct("<I")
_UINT64 = struct.Struct("<Q")
_FLOAT64 = struct.Struct(">d")


def unpickle(
    data: bytes,
    mentions: Mentions,
    persistent: Callable[[Tree], Tree],
    start: int = 0,
    operations: int = OPERATIONS,
    constructors: Mapping[str, Callable[..., Tree]] = CONSTRUCTORS,
) -> Unpickled:
    """Read the pickle that begins at `start`, of at most so many `operations`; `persistent`
    resolves its persistent ids, and `constructors` are what it may call.

    What it takes comes off the work that is left. Raises PickleError where the data is no sound
    pickle, is cut off, or takes more.
    """
    work = work_left()
    operations = min(operations, work.operations)
    loop = _Loop(data, mentions, persistent, start, operations, constructors, work.objects)
    end = len(data)
    try:
        found = loop.run()
        end = found.end
        return found
    except (struct.error, IndexError) as error:
        raise _early() from error
    except KeyError as error:
        raise _broken("it points at an object that it has not kept") from error
    except UnicodeError as error:
        raise _broken("a text in it is not in the encoding that it should be") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise _broken(str(error)) from error
    finally:
        work.operations -= max(LEAST, min(loop.spent, end - start))
        work.objects = loop.room


def _early() -> PickleEndsEarly:
    return PickleEndsEarly(*_sentences("it ends too early"))


def _broken(why: str) -> PickleError:
    return PickleError(*_sentences(why))


def _sentences(why: str) -> tuple[str, str]:
    return (
        f"The file's pickle is damaged: {why}.",
        "Get the file again from where it came from, and compare its size.",
    )


class _Loop:
    """One pickle being read: the data, the memo, and what it may still make.

    As in CPython's pickle, a MARK puts the stack aside for an empty one, so that whatever takes
    all down to the mark takes a whole list.
    """

    def __init__(
        self,
        data: bytes,
        mentions: Mentions,
        persistent: Callable[[Tree], Tree],
        start: int,
        operations: int,
        constructors: Mapping[str, Callable[..., Tree]],
        room: int,
    ) -> None:
        self.data = data
        self.start = start
        self.mentions = mentions
        self.persistent = persistent
        self.operations = operations
        self.constructors = constructors
        self.globals: dict[str, Global] = {}
        self.spent = 0
        self.room = room
        self.inner: list[bytes] = []

    def run(self) -> Unpickled:  # one branch an opcode, the frequent ones first
        data, call, persistent = self.data, self.call, self.persistent
        uint32 = _UINT32.unpack_from
        stack: list[Tree] = []
        aside: list[list[Tree]] = []
        memo: dict[int, Tree] = {}
        fetched: Container[bytes] | None = None
        wanted: Container[bytes] = ()
        counted = kept = 0
        runs = TensorRuns(data, persistent)
        value: Tree
        at = self.start
        for _ in chain.from_iterable(self.rounds()):
            op = data[at]
            at += 1
            if op == 0x72:  # LONG_BINPUT
                if fetched is None:
                    if counted:
                        raise ValueError("it numbers what it keeps in two ways")
                    fetched = _maybe_fetched(data, self.start)
                if data[at : at + 4] in fetched:
                    self.room -= 2
                    memo[uint32(data, at)[0]] = stack[-1]
                at += 4
            elif op == 0x71:  # BINPUT
                memo[data[at]] = stack[-1]
                at += 1
            elif op == 0x68:  # BINGET
                found = runs.read(at - 1, memo, fetched) if data[at + 1] == 0x28 else None
                if found is None:
                    value = memo[data[at]]
                    at += 1
                    if data[at] == 0x29 and data[at + 1] == 0x52 and self.makes_dict(value):
                        # EMPTY_TUPLE, REDUCE: the hooks of a module are ten empty OrderedDicts.
                        self.room -= 1
                        value = InertDict()
                        at += 2
                    stack.append(value)
                else:
                    pushed, count, at = found
                    self.take(OBJECTS * count)
                    stack += pushed
            elif op == 0x4B:  # BININT1
                stack.append(data[at])
                at += 1
            elif op == 0x58:  # BINUNICODE
                end = at + 4 + uint32(data, at)[0]
                stack.append(self.text(at + 4, end))
                at = end
            elif op == 0x28:  # MARK
                self.room -= 1
                aside.append(stack)
                stack = []
            elif op == 0x85:  # TUPLE1
                self.room -= 1
                stack[-1] = (stack[-1],)
            elif op == 0x74:  # TUPLE
                self.room -= 1
                value = tuple(stack)
                stack = aside.pop()
                stack.append(value)
            elif op == 0x52:  # REDUCE
                args = stack.pop()
                stack[-1] = call(stack[-1], args)
            elif op == 0x86:  # TUPLE2
                self.room -= 1
                value = stack.pop()
                stack[-1] = (stack[-1], value)
            elif op == 0x51:  # BINPERSID
                self.room -= 2
                stack[-1] = persistent(stack[-1])
            elif op == 0x29:  # EMPTY_TUPLE
                stack.append(())
            elif op == 0x89:  # NEWFALSE
                stack.append(False)
            elif op == 0x6A:  # LONG_BINGET
                found = runs.read(at - 1, memo, fetched) if data[at + 4] == 0x28 else None
                if found is None:
                    stack.append(memo[uint32(data, at)[0]])
                    at += 4
                else:
                    pushed, count, at = found
                    self.take(OBJECTS * count)
                    stack += pushed
            elif op == 0x4D:  # BININT2
                self.room -= 1
                stack.append(_UINT16.unpack_from(data, at)[0])
                at += 2
            elif op == 0x4A:  # BININT
                self.room -= 1
                stack.append(_INT32.unpack_from(data, at)[0])
                at += 4
            elif op == 0x94:  # MEMOIZE numbers by what is kept, which is not all of it here
                if counted == 0:
                    wanted = _maybe_fetched(data, self.start)
                if fetched is not None or len(memo) != kept:
                    raise ValueError("it numbers what it keeps in two ways")
                if _UINT32.pack(counted) in wanted:
                    self.room -= 2
                    memo[counted] = stack[-1]
                    kept += 1
                counted += 1
            elif op == 0x8C:  # SHORT_BINUNICODE
                end = at + 1 + data[at]
                stack.append(self.text(at + 1, end))
                at = end
            elif op == 0x87:  # TUPLE3
                self.room -= 1
                third, second = stack.pop(), stack.pop()
                stack[-1] = (stack[-1], second, third)
            elif op == 0x88:  # NEWTRUE
                stack.append(True)
            elif op == 0x95:  # FRAME: only a hint for streams
                at += 8
            elif op == 0x80:  # PROTO
                if data[at] > 5:
                    raise ValueError(f"it is of protocol {data[at]}, and 5 is the newest")
                at += 1
            elif op == 0x2E:  # STOP
                return Unpickled(stack.pop(), at, tuple(self.inner))
            elif op == 0x30:  # POP: an object, or a mark that nothing lies on
                if stack:
                    stack.pop()
                else:
                    stack = aside.pop()
            elif op == 0x31:  # POP_MARK
                stack = aside.pop()
            elif op == 0x32:  # DUP
                stack.append(stack[-1])
            elif op == 0x4E:  # NONE
                stack.append(None)
            elif op == 0x47:  # BINFLOAT
                self.room -= 1
                stack.append(_FLOAT64.unpack_from(data, at)[0])
                at += 8
            elif op == 0x8A:  # LONG1
                self.room -= 4
                end = at + 1 + data[at]
                stack.append(int.from_bytes(self.slice(at + 1, end), "little", signed=True))
                at = end
            elif op == 0x8B:  # LONG4
                length = _INT32.unpack_from(data, at)[0]
                if not 0 <= length <= MAX_LONG:
                    raise ValueError("a number in it is impossibly long")
                self.take(1 + (length >> 6))
                end = at + 4 + length
                stack.append(int.from_bytes(self.slice(at + 4, end), "little", signed=True))
                at = end
            elif op == 0x7D:  # EMPTY_DICT
                self.take(3)
                stack.append(InertDict())
            elif op == 0x5D:  # EMPTY_LIST
                self.take(1)
                stack.append([])
            elif op == 0x8F:  # EMPTY_SET
                self.take(4)
                stack.append(set())
            elif op == 0x75:  # SETITEMS
                items, stack = stack, aside.pop()
                self.set_items(stack[-1], items)
            elif op == 0x73:  # SETITEM
                value = stack.pop()
                key = stack.pop()
                self.set_items(stack[-1], [key, value])
            elif op == 0x65:  # APPENDS
                items, stack = stack, aside.pop()
                self.extend(stack[-1], items)
            elif op == 0x61:  # APPEND
                value = stack.pop()
                self.extend(stack[-1], [value])
            elif op == 0x90:  # ADDITEMS
                items, stack = stack, aside.pop()
                self.extend(stack[-1], items)
            elif op == 0x91:  # FROZENSET
                self.take(4)
                items, stack = stack, aside.pop()
                stack.append({dict_key(item) for item in items})
            elif op == 0x64:  # DICT
                self.take(3)
                items, stack = stack, aside.pop()
                stack.append(InertDict())
                self.set_items(stack[-1], items)
            elif op == 0x6C:  # LIST
                self.take(1)
                items, stack = stack, aside.pop()
                stack.append(items)
            elif op == 0x62:  # BUILD
                value = stack.pop()
                self.build(stack[-1], value)
            elif op == 0x63:  # GLOBAL
                module, at = self.line(at)
                name, at = self.line(at)
                stack.append(self.name(module, name))
            elif op == 0x93:  # STACK_GLOBAL
                attribute, package = stack.pop(), stack.pop()
                if not isinstance(package, str) or not isinstance(attribute, str):
                    raise TypeError("a class in it has no name")
                stack.append(self.name(package, attribute))
            elif op == 0x81:  # NEWOBJ
                args = stack.pop()
                stack[-1] = call(stack[-1], args)
            elif op == 0x92:  # NEWOBJ_EX
                keywords, args = stack.pop(), stack.pop()
                made = call(stack.pop(), args)
                if isinstance(made, Opaque) and isinstance(keywords, dict):
                    self.take(len(keywords))
                    made.items.update(keywords)
                stack.append(made)
            elif op == 0x6F:  # OBJ
                items, stack = stack, aside.pop()
                stack.append(call(items[0], tuple(items[1:])))
            elif op == 0x69:  # INST
                module, at = self.line(at)
                name, at = self.line(at)
                items, stack = stack, aside.pop()
                stack.append(call(self.name(module, name), tuple(items)))
            elif op in (0x54, 0x42):  # BINSTRING, BINBYTES
                length = (_INT32 if op == 0x54 else _UINT32).unpack_from(data, at)[0]
                if length < 0:
                    raise ValueError("a length in it is negative")
                end = at + 4 + length
                raw = self.content(at + 4, end)
                stack.append(raw if op == 0x42 else _text(raw))
                at = end
            elif op in (0x55, 0x43):  # SHORT_BINSTRING, SHORT_BINBYTES
                end = at + 1 + data[at]
                raw = self.content(at + 1, end)
                stack.append(raw if op == 0x43 else _text(raw))
                at = end
            elif op in (0x8D, 0x8E, 0x96):  # BINUNICODE8, BINBYTES8, BYTEARRAY8
                end = at + 8 + _UINT64.unpack_from(data, at)[0]
                stack.append(self.text(at + 8, end) if op == 0x8D else self.content(at + 8, end))
                at = end
            elif op in (0x70, 0x67):  # PUT, GET
                text, at = self.line(at)
                if op == 0x70:
                    self.take(2)
                    memo[_integer(text)] = stack[-1]
                else:
                    stack.append(memo[_integer(text)])
            elif op == 0x49:  # INT
                text, at = self.line(at)
                stack.append({"00": False, "01": True}.get(text, _integer(text)))
            elif op == 0x4C:  # LONG
                text, at = self.line(at)
                stack.append(_integer(text.removesuffix("L")))
            elif op == 0x46:  # FLOAT
                text, at = self.line(at)
                stack.append(_float(text))
            elif op == 0x56:  # UNICODE
                text, at = self.line(at, _raw_text)
                stack.append(text)
            elif op == 0x53:  # STRING
                text, at = self.line(at)
                stack.append(text[1:-1] if text[:1] in ("'", '"') else text)
            elif op == 0x50:  # PERSID
                text, at = self.line(at)
                stack.append(persistent(text))
            elif op in (0x82, 0x83, 0x84):  # EXT1, EXT2, EXT4
                width = {0x82: 1, 0x83: 2, 0x84: 4}[op]
                code = int.from_bytes(self.slice(at, at + width), "little")
                at += width
                stack.append(self.name("copyreg extension", str(code)))
            else:
                raise ValueError(f"byte {at - 1} is no opcode")
        raise ValueError("it takes more steps than any checkpoint's")

    def rounds(self) -> Iterator[Iterable[None]]:
        """The opcodes that may be read; between two rounds it is seen that there is room left."""
        while self.spent < self.operations:
            some = min(ROUND, self.operations - self.spent)
            self.spent += some
            yield repeat(None, some)
            self.take(0)

    def slice(self, start: int, end: int) -> bytes:
        if end > len(self.data):
            raise _early()
        return self.data[start:end]

    def content(self, start: int, end: int) -> bytes:
        self.take(1 + (end - start >> 6))
        return self.kept(self.slice(start, end))

    def text(self, start: int, end: int) -> str:
        self.take(1 + (end - start >> 6))
        text = self.slice(start, end).decode("utf-8", "surrogatepass")
        if not text.isascii():
            self.take(end - start >> 4)
        return text

    def kept(self, raw: bytes) -> bytes:
        """Note bytes that begin like a pickle: what the file calls may load them."""
        if len(self.inner) < MAX_INNER and begins_like_pickle(raw):
            self.inner.append(raw)
        return raw

    def line(self, at: int, decode: Callable[[bytes], str] = bytes.decode) -> tuple[str, int]:
        end = self.data.find(b"\n", at)
        if end < 0:
            raise _early()
        self.take(2 + (end - at >> 4))
        return decode(self.data[at:end]), end + 1

    def take(self, room: int) -> None:
        """Keep what a few opcodes can make or copy in proportion to the file."""
        self.room -= room
        if self.room < 0:
            raise ValueError("it makes more objects than any checkpoint holds")

    def name(self, module: str, name: str) -> Global:
        qualified = f"{module}.{name}"
        if len(qualified) > MAX_NAME:
            raise ValueError("a class in it has an impossibly long name")
        self.mentions.add(qualified)
        return self.globals.setdefault(qualified, Global(qualified))

    def makes_dict(self, function: Tree) -> bool:
        return type(function) is Global and self.constructors.get(function.name) is ordered_dict

    def call(self, function: Tree, args: Tree) -> Tree:
        if not isinstance(args, tuple):
            args = (args,)
        constructor = self.constructors.get(function.name) if type(function) is Global else None
        if constructor is not None:
            # What is called may copy its arguments, and a memo gives the same ones many times.
            room = 1 + len(args)
            if args and type(args[0]) is not Storage:
                room += _weight(args[0])
            self.take(room)
            try:
                made = constructor(*args)
                return self.kept(made) if type(made) is bytes else made
            except (TypeError, ValueError, struct.error, OverflowError):
                pass
        self.take(4)
        if isinstance(function, Global):
            return Opaque(function.name, args)
        if isinstance(function, Opaque):
            return Opaque(function.name.removesuffix("(…)") + "(…)", args)
        return Opaque(f"{type(function).__name__} object", args)

    def set_items(self, into: Tree, items: list[Tree]) -> None:
        if len(items) % 2:
            raise ValueError("a key in it has no value")
        if isinstance(into, Opaque):
            into = into.items
        if not isinstance(into, dict):
            return
        self.take(1 + len(items) // 2)
        for position in range(0, len(items), 2):
            key = items[position]
            into[key if type(key) is str else dict_key(key)] = items[position + 1]

    def extend(self, into: Tree, items: list[Tree]) -> None:
        self.take(2 + (len(items) >> 3))
        if isinstance(into, Opaque):
            into.elements.extend(items)
        elif isinstance(into, list):
            into.extend(items)
        elif isinstance(into, set):
            into.update(map(dict_key, items))

    def build(self, into: Tree, state: Tree) -> None:
        """BUILD: in Python it runs __setstate__ or fills __dict__; here it notes the state."""
        self.take(1)
        if isinstance(into, Opaque):
            # A second tuple of (state, slots) or a second BUILD adds to what is there.
            if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
                merged = InertDict()
                for part in state:
                    if isinstance(part, dict):
                        self.take(1 + len(part))
                        merged.update(part)
                state = merged
            if isinstance(into.state, dict) and isinstance(state, dict):
                self.take(len(state))
                into.state.update(state)
            else:
                into.state = state
        elif isinstance(into, InertDict):
            into.attributes = state
        elif isinstance(into, InertArray):
            self.take(sum(map(_weight, state)) if isinstance(state, tuple) else 0)
            build_array(into, state)
        elif isinstance(into, InertDtype):
            build_dtype(into, state)


_LONG_BINGET = re.compile(rb"j(?=(.{4}))", re.DOTALL)
_ONE_BYTE_INDICES = frozenset(_UINT32.pack(index) for index in range(256))
_GET = re.compile(rb"g(\d{1,10})\n")


class _Every:
    def __contains__(self, _index: object) -> bool:
        return True


def _maybe_fetched(data: bytes, start: int) -> Container[bytes]:
    """The memo's indices, as LONG_BINPUT writes them, that something in the data may fetch.

    Python's pickler puts every object into the memo and fetches few: to keep only those spares
    the time and the memory of all that a tensor's description is made from. Bytes that are no
    LONG_BINGET but look like one only make the set larger.
    """
    if data.count(b"j", start) > MAX_FETCHED:
        return _Every()
    found = _ONE_BYTE_INDICES.union(match[1] for match in _LONG_BINGET.finditer(data, start))
    texts = [int(match[1]) for match in islice(_GET.finditer(data, start), MAX_FETCHED + 1)]
    if len(texts) > MAX_FETCHED:
        return _Every()
    return found.union(_UINT32.pack(index) for index in texts if index < 1 << 32)


def _weight(value: Tree) -> int:
    """What a copy of a value takes, in objects of about 64 bytes."""
    if isinstance(value, str | bytes):
        return len(value) >> 6
    return len(value) if isinstance(value, list | tuple | dict | set) else 0


def _text(raw: bytes) -> str:
    """Python 2's strings, which hold bytes as well as text."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _raw_text(raw: bytes) -> str:
    """UNICODE's own encoding; by name, Python would import a module for it."""
    return raw_unicode_escape_decode(raw)[0]


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("a number in it is impossibly long")
    try:
        return int(text)
    except ValueError:
        raise ValueError("a number in it has other signs than digits") from None


def _float(text: str) -> float:
    try:
        return float(text[:MAX_DIGITS])
    except ValueError:
        raise ValueError("a number in it has other signs than digits") from None


def no_persistent_ids(_identifier: Tree) -> Tree:
    """For pickles in which no storage is named."""
    return Opaque("persistent id")


def begins_like_pickle(data: bytes) -> bool:
    """Whether bytes begin with the opcode PROTO, as pickles of protocol 2 and later do."""
    return data[:1] == b"\x80" and len(data) > 1 and data[1] <= 5
