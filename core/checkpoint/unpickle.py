"""An unpickler that executes nothing: a loop over the opcodes of Python's pickle protocol.

It is plain Python, so each bound is in sight: strings and counts are checked against the data, the
memo is a dictionary, numbers have a largest length, and a callable is only ever one of ours. The
opcodes are those of Lib/pickletools.py, protocols 0 to 5.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from core.checkpoint.constructors import (
    CONSTRUCTORS,
    MENTIONED,
    build_array,
    build_dtype,
    dict_key,
)
from core.checkpoint.inert import (
    Global,
    InertArray,
    InertDict,
    InertDtype,
    Opaque,
    Tree,
)
from core.checkpoint.verdicts import GlobalUse, judge
from core.errors import CheckpointError

MAX_DIGITS = 4000
"""Digits of a number that is written as text; Python itself refuses from 4,300 on."""

MAX_NAME = 512
"""Characters of a class's qualified name."""

MAX_MENTIONS = 100_000
"""Distinct names in one file."""


class PickleError(CheckpointError):
    """The bytes are no whole, sound pickle."""


class PickleEndsEarly(PickleError):
    """The pickle goes on where the bytes end."""


@dataclass(frozen=True, slots=True)
class Unpickled:
    """The object, where its pickle ended in the data, and the names that it gave."""

    tree: Tree
    end: int


class Mentions:
    """The globals of one or more pickles, counted."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count one use of a name."""
        if name not in self._uses and len(self._uses) >= MAX_MENTIONS:
            raise _broken("it names more classes than any checkpoint does")
        self._uses[name] += 1

    def judged(self) -> tuple[GlobalUse, ...]:
        """Each name with its verdict, in the order in which the file gives them."""
        return tuple(
            judge(name, uses, known=name in CONSTRUCTORS or name in MENTIONED)
            for name, uses in self._uses.items()
        )


class _Mark:
    __slots__ = ()


_MARK = _Mark()

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
) -> Unpickled:
    """Read the pickle that begins at `start`; `persistent` resolves its persistent ids.

    Raises PickleError where the data is no sound pickle, or is cut off.
    """
    try:
        return _Loop(data, mentions, persistent, start).run()
    except (struct.error, IndexError) as error:
        raise PickleEndsEarly(*_sentences("it ends too early")) from error
    except UnicodeDecodeError as error:
        raise _broken("a text in it is not UTF-8") from error
    except (TypeError, ValueError, KeyError, OverflowError, AttributeError) as error:
        raise _broken(str(error)) from error


def _broken(why: str) -> PickleError:
    return PickleError(*_sentences(why))


def _sentences(why: str) -> tuple[str, str]:
    return (
        f"The file's pickle is damaged: {why}.",
        "Get the file again from where it came from, and compare its size.",
    )


class _Loop:
    """One pickle being read: the data, the place in it, the stack and the memo."""

    def __init__(
        self,
        data: bytes,
        mentions: Mentions,
        persistent: Callable[[Tree], Tree],
        start: int,
    ) -> None:
        self.data = data
        self.at = start
        self.mentions = mentions
        self.persistent = persistent
        self.stack: list[Tree | _Mark] = []
        self.memo: dict[int, Tree] = {}
        self.globals: dict[str, Global] = {}

    def run(self) -> Unpickled:  # one branch an opcode, the frequent ones first
        data, stack, memo = self.data, self.stack, self.memo
        push, pop = stack.append, stack.pop
        at = self.at
        while True:
            op = data[at]
            at += 1
            if op == 0x72:  # LONG_BINPUT
                memo[_UINT32.unpack_from(data, at)[0]] = self.top()
                at += 4
            elif op == 0x71:  # BINPUT
                memo[data[at]] = self.top()
                at += 1
            elif op == 0x68:  # BINGET
                push(memo[data[at]])
                at += 1
            elif op == 0x6A:  # LONG_BINGET
                push(memo[_UINT32.unpack_from(data, at)[0]])
                at += 4
            elif op == 0x4B:  # BININT1
                push(data[at])
                at += 1
            elif op == 0x4D:  # BININT2
                push(_UINT16.unpack_from(data, at)[0])
                at += 2
            elif op == 0x4A:  # BININT
                push(_INT32.unpack_from(data, at)[0])
                at += 4
            elif op == 0x28:  # MARK
                push(_MARK)
            elif op == 0x58:  # BINUNICODE
                end = at + 4 + _UINT32.unpack_from(data, at)[0]
                push(self.slice(at + 4, end).decode("utf-8", "surrogatepass"))
                at = end
            elif op == 0x74:  # TUPLE
                push(tuple(self.marked()))
            elif op == 0x85:  # TUPLE1
                push((self.pop(),))
            elif op == 0x86:  # TUPLE2
                second = self.pop()
                push((self.pop(), second))
            elif op == 0x87:  # TUPLE3
                third, second = self.pop(), self.pop()
                push((self.pop(), second, third))
            elif op == 0x52:  # REDUCE
                args = self.pop()
                push(self.call(self.pop(), args))
            elif op == 0x51:  # BINPERSID
                push(self.persistent(self.pop()))
            elif op == 0x89:  # NEWFALSE
                push(False)
            elif op == 0x88:  # NEWTRUE
                push(True)
            elif op == 0x29:  # EMPTY_TUPLE
                push(())
            elif op == 0x94:  # MEMOIZE
                memo[len(memo)] = self.top()
            elif op == 0x8C:  # SHORT_BINUNICODE
                end = at + 1 + data[at]
                push(self.slice(at + 1, end).decode("utf-8", "surrogatepass"))
                at = end
            elif op == 0x95:  # FRAME: only a hint for streams
                at += 8
            elif op == 0x80:  # PROTO
                if data[at] > 5:
                    raise ValueError(f"it is of protocol {data[at]}, and 5 is the newest")
                at += 1
            elif op == 0x2E:  # STOP
                return Unpickled(self.pop(), at)
            elif op == 0x30:  # POP
                pop()
            elif op == 0x31:  # POP_MARK
                self.marked()
            elif op == 0x32:  # DUP
                push(self.top())
            elif op == 0x4E:  # NONE
                push(None)
            elif op == 0x47:  # BINFLOAT
                push(_FLOAT64.unpack_from(data, at)[0])
                at += 8
            elif op == 0x8A:  # LONG1
                end = at + 1 + data[at]
                push(int.from_bytes(self.slice(at + 1, end), "little", signed=True))
                at = end
            elif op == 0x8B:  # LONG4
                end = at + 4 + self.length(_INT32.unpack_from(data, at)[0])
                push(int.from_bytes(self.slice(at + 4, end), "little", signed=True))
                at = end
            elif op == 0x7D:  # EMPTY_DICT
                push(InertDict())
            elif op == 0x5D:  # EMPTY_LIST
                push([])
            elif op == 0x8F:  # EMPTY_SET
                push(set())
            elif op == 0x75:  # SETITEMS
                self.set_items(self.marked())
            elif op == 0x73:  # SETITEM
                value = self.pop()
                self.set_items([self.pop(), value])
            elif op == 0x65:  # APPENDS
                self.extend(self.marked())
            elif op == 0x61:  # APPEND
                self.extend([self.pop()])
            elif op == 0x90:  # ADDITEMS
                items = self.marked()
                into = self.top()
                if isinstance(into, set):
                    into.update(map(dict_key, items))
                else:
                    self.extend(items)
            elif op == 0x91:  # FROZENSET
                push({dict_key(item) for item in self.marked()})
            elif op == 0x64:  # DICT
                items = self.marked()
                push(InertDict())
                self.set_items(items)
            elif op == 0x6C:  # LIST
                push(self.marked())
            elif op == 0x62:  # BUILD
                self.build(self.pop())
            elif op == 0x63:  # GLOBAL
                module, at = self.line(at)
                name, at = self.line(at)
                push(self.name(module, name))
            elif op == 0x93:  # STACK_GLOBAL
                attribute, package = self.pop(), self.pop()
                if not isinstance(package, str) or not isinstance(attribute, str):
                    raise TypeError("a class in it has no name")
                push(self.name(package, attribute))
            elif op == 0x81:  # NEWOBJ
                args = self.pop()
                push(self.call(self.pop(), args))
            elif op == 0x92:  # NEWOBJ_EX
                keywords, args = self.pop(), self.pop()
                made = self.call(self.pop(), args)
                if isinstance(made, Opaque) and isinstance(keywords, dict):
                    made.items.update(keywords)
                push(made)
            elif op == 0x6F:  # OBJ
                items = self.marked()
                push(self.call(items[0], tuple(items[1:])))
            elif op == 0x69:  # INST
                module, at = self.line(at)
                name, at = self.line(at)
                push(self.call(self.name(module, name), tuple(self.marked())))
            elif op in (0x54, 0x42):  # BINSTRING, BINBYTES
                size = _INT32 if op == 0x54 else _UINT32
                end = at + 4 + self.length(size.unpack_from(data, at)[0])
                raw = self.slice(at + 4, end)
                push(raw if op == 0x42 else _text(raw))
                at = end
            elif op in (0x55, 0x43):  # SHORT_BINSTRING, SHORT_BINBYTES
                end = at + 1 + data[at]
                raw = self.slice(at + 1, end)
                push(raw if op == 0x43 else _text(raw))
                at = end
            elif op in (0x8D, 0x8E, 0x96):  # BINUNICODE8, BINBYTES8, BYTEARRAY8
                end = at + 8 + _UINT64.unpack_from(data, at)[0]
                raw = self.slice(at + 8, end)
                push(raw.decode("utf-8", "surrogatepass") if op == 0x8D else raw)
                at = end
            elif op in (0x70, 0x67):  # PUT, GET
                text, at = self.line(at)
                if op == 0x70:
                    memo[_integer(text)] = self.top()
                else:
                    push(memo[_integer(text)])
            elif op == 0x49:  # INT
                text, at = self.line(at)
                push({"00": False, "01": True}.get(text, _integer(text)))
            elif op == 0x4C:  # LONG
                text, at = self.line(at)
                push(_integer(text.removesuffix("L")))
            elif op == 0x46:  # FLOAT
                text, at = self.line(at)
                push(float(text[:MAX_DIGITS]))
            elif op == 0x56:  # UNICODE
                text, at = self.line(at, "raw-unicode-escape")
                push(text)
            elif op == 0x53:  # STRING
                text, at = self.line(at)
                push(text[1:-1] if text[:1] in ("'", '"') else text)
            elif op == 0x50:  # PERSID
                text, at = self.line(at)
                push(self.persistent(text))
            elif op in (0x82, 0x83, 0x84):  # EXT1, EXT2, EXT4
                width = {0x82: 1, 0x83: 2, 0x84: 4}[op]
                code = int.from_bytes(self.slice(at, at + width), "little")
                at += width
                push(self.name("copyreg extension", str(code)))
            else:
                raise ValueError(f"byte {at - 1} is no opcode")

    def top(self) -> Tree:
        top = self.stack[-1]
        if isinstance(top, _Mark):
            raise ValueError("a mark stands where an object should")
        return top

    def pop(self) -> Tree:
        top = self.stack.pop()
        if isinstance(top, _Mark):
            raise ValueError("a mark stands where an object should")
        return top

    def marked(self) -> list[Tree]:
        """Take all that lies above the last mark, and the mark."""
        items: list[Tree] = []
        stack = self.stack
        while True:
            top = stack.pop()
            if isinstance(top, _Mark):
                break
            items.append(top)
        items.reverse()
        return items

    def slice(self, start: int, end: int) -> bytes:
        if end > len(self.data):
            raise IndexError
        return self.data[start:end]

    def length(self, length: int) -> int:
        if length < 0:
            raise ValueError("a length in it is negative")
        return length

    def line(self, at: int, encoding: str = "utf-8") -> tuple[str, int]:
        end = self.data.find(b"\n", at)
        if end < 0:
            raise IndexError
        return self.data[at:end].decode(encoding), end + 1

    def name(self, module: str, name: str) -> Global:
        qualified = f"{module}.{name}"
        if len(qualified) > MAX_NAME:
            raise ValueError("a class in it has an impossibly long name")
        self.mentions.add(qualified)
        return self.globals.setdefault(qualified, Global(qualified))

    def call(self, function: Tree, args: Tree) -> Tree:
        if not isinstance(args, tuple):
            args = (args,)
        if isinstance(function, Global):
            constructor = CONSTRUCTORS.get(function.name)
            if constructor is None:
                return Opaque(function.name, args)
            try:
                return constructor(*args)
            except (TypeError, ValueError, struct.error, OverflowError, RecursionError):
                return Opaque(function.name, args)
        if isinstance(function, Opaque):
            return Opaque(f"{function.name}(…)", args)
        return Opaque(f"{type(function).__name__} object", args)

    def set_items(self, items: list[Tree]) -> None:
        if len(items) % 2:
            raise ValueError("a key in it has no value")
        into = self.top()
        if isinstance(into, Opaque):
            into = into.items
        if not isinstance(into, dict):
            return
        for position in range(0, len(items), 2):
            key = items[position]
            into[key if type(key) is str else dict_key(key)] = items[position + 1]

    def extend(self, items: list[Tree]) -> None:
        into = self.top()
        if isinstance(into, Opaque):
            into.elements.extend(items)
        elif isinstance(into, list):
            into.extend(items)

    def build(self, state: Tree) -> None:
        """BUILD: in Python it runs __setstate__ or fills __dict__; here it notes the state."""
        into = self.top()
        if isinstance(into, Opaque):
            # A second tuple of (state, slots) or a second BUILD adds to what is there.
            if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
                merged = InertDict()
                for part in state:
                    if isinstance(part, dict):
                        merged.update(part)
                state = merged
            if isinstance(into.state, dict) and isinstance(state, dict):
                into.state.update(state)
            else:
                into.state = state
        elif isinstance(into, InertDict):
            into.attributes = state
        elif isinstance(into, InertArray):
            build_array(into, state)
        elif isinstance(into, InertDtype):
            build_dtype(into, state)


def _text(raw: bytes) -> str:
    """Python 2's strings, which hold bytes as well as text."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError("a number in it is impossibly long")
    return int(text)


def no_persistent_ids(_identifier: Tree) -> Tree:
    """For pickles in which no storage is named."""
    return Opaque("persistent id")
