"""An unpickler that executes nothing: a loop over the opcodes of Python's pickle protocol.

It is written by hand because Python's C unpickler, even with a `find_class` of its own, allocates
whatever a file asks for: its memo grows to the largest index in the file. Here each bound is
visible: lengths and counts are checked against the data, the memo is a dictionary, numbers have a
largest length, and only functions in CONSTRUCTORS are called. The opcodes are those of
Lib/pickletools.py, protocols 0 to 5.
"""

from __future__ import annotations

import re
import struct
from codecs import escape_decode, raw_unicode_escape_decode
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain, islice, repeat

from core.checkpoint.containers.budget import (
    BYTES_PER_OBJECT,
    BYTES_PER_OPERATION,
    MAX_GROWTH,
    OPERATIONS,
    MoreThanLoupeReads,
    work_left,
)
from core.checkpoint.containers.inner_places import MAX_WORK, PLACE, may_have_pickles
from core.checkpoint.entries import Source
from core.checkpoint.pickles.constructors import CONSTRUCTORS, MENTIONED, dict_key
from core.checkpoint.pickles.data_uses import DataUses
from core.checkpoint.pickles.first_uses import first_paths
from core.checkpoint.pickles.global_verdicts import GlobalUse, Verdict, judge
from core.checkpoint.pickles.inert import (
    MAX_GLOBAL,
    Global,
    InertArray,
    InertDict,
    InertDtype,
    Key,
    LongNumber,
    Opaque,
    Storage,
    Tree,
    UnusualKey,
)
from core.checkpoint.pickles.known_globals import AS_DATA
from core.checkpoint.pickles.ledger import Ledger, current_ledger
from core.checkpoint.pickles.numpy_values import build_array, build_dtype
from core.checkpoint.pickles.tensor_run import TensorRuns
from core.errors import CheckpointError, printable
from core.wording import count as count_words

MAX_DIGITS = 4000
"""Digits of a number that is written as text; Python itself refuses more than 4,300."""

SHOWN = 12
"""Digits at each end of a longer number that are shown of it."""

MIN_OPERATIONS = 100
"""Opcodes that every pickle counts for, however short: starting to read one takes time too."""

ROUND = 20_000
"""Opcodes after which the budget of objects is checked."""

MAX_FETCHED = 600_000
"""Bytes that look like an opcode that fetches from the memo; with more, the memo keeps all."""

BYTE_STRING = 32
"""Bytes of the shortest byte string in which a file may be; a number of numpy takes up to 16."""

MAX_INNER = MAX_WORK // PLACE + 1
"""Byte strings inside a pickle that are kept for a search: more than one search has work for."""

MAX_MENTIONS = 20_000
"""Different globals in one file."""


class PickleError(CheckpointError):
    """The bytes are not a complete, valid pickle."""


class PickleEndsEarly(PickleError):
    """The bytes end before the pickle does."""


class PickleTooLarge(MoreThanLoupeReads, PickleError):
    """The pickle goes beyond a limit of Loupe's own."""


@dataclass(frozen=True, slots=True)
class Unpickled:
    """The object in a pickle; `end` is the offset in the data at which the pickle ended.

    `inner` has the first few of its byte strings that begin like pickles themselves, or like files
    that may contain some. `may_have_unlisted` says whether it has byte strings of BYTE_STRING bytes
    or more, or unusual keys: weights in them are in no state_dict.
    """

    tree: Tree
    end: int
    inner: tuple[bytes | Source, ...] = ()
    may_have_unlisted: bool = True


class Mentions:
    """The globals that one or more pickles name, with their counts.

    `record` is the name of the pickle that is being read, and `hidden` says that torch.load does
    not read it. `called` are those that it calls, of which Loupe calls none. The current Ledger
    gets them all too, or that which is given.
    """

    def __init__(self, record: str = "", ledger: Ledger | None = None) -> None:
        self.record = record
        self.hidden = False
        self.called: set[str] = set()
        self._ledger = current_ledger() if ledger is None else ledger
        self._loose: Counter[str] = Counter()
        self._given: set[str] = set()
        self._unused = ""
        self._uses: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._read: set[str] = set()

    def add(self, name: str, uses: int = 1) -> None:
        """Count uses of a global. Raises PickleTooLarge beyond MAX_MENTIONS different ones."""
        if name not in self._uses and len(self._uses) >= MAX_MENTIONS:
            raise PickleTooLarge(f"it names more than {count_words(MAX_MENTIONS)} classes")
        self._uses[name] += uses
        self._first.setdefault(name, self.record)
        if name in AS_DATA:
            self.loosen(name, uses)
        if self.hidden:
            self._ledger.hidden.setdefault(name)
        else:
            self._ledger.read.setdefault(name)
            self._read.add(name)

    def loosen(self, name: str, uses: int = 1) -> None:
        """Count uses of a function in AS_DATA, or of `type`, that are not known to be data.

        Each use counts at first; `accept` takes it back.
        """
        self._loose[name] += uses
        self._ledger.loose[name] += uses
        self._unused = name

    def accept(self, name: str) -> None:
        """Take back a use that `loosen` counted: it turned out as AS_DATA says."""
        self.loosen(name, -1)
        self._unused = ""

    def give(self, name: str) -> None:
        """Note that what a function in AS_DATA gave goes to a class that may call it."""
        self._given.add(name)

    def call(self, name: str) -> None:
        """Note that a global is called."""
        self.called.add(name)
        if name == self._unused:
            self._unused = ""

    def forget_unused(self) -> None:
        """Take back the last use, if the pickle broke before it said what the function is for."""
        if self._unused:
            self.accept(self._unused)

    def add_hidden(self, other: Mentions, *, complete: bool, certain: bool = True) -> bool:
        """Add the globals of a pickle that torch.load does not read; whether there were any.

        If it was not `complete`, it may not be a pickle at all. Then only dangerous globals count:
        a loader would run them before it notices that the end is missing. If its first byte does
        not make it `certain` that it is one, only dangerous globals count that it calls.
        """
        self.record, self.hidden = other.record, True
        names = [
            use.name
            for use in other._judged()
            if (complete and certain)
            or (use.verdict is Verdict.DANGEROUS and (certain or use.name in other.called))
        ]
        for name in names:
            self.add(name, other._uses[name])
            self.loosen(name, other._loose[name] - (other._uses[name] if name in AS_DATA else 0))
        self._given |= other._given.intersection(names)
        return bool(names)

    def judged(self, tree: Tree = None) -> tuple[GlobalUse, ...]:
        """Each global with its verdict and the place of its first use, in the file's order.

        The place is the pickle's name and, for globals that are not plain, the path in `tree`.
        """
        uses = self._judged()
        paths = first_paths(tree, [use.name for use in uses if use.verdict is not Verdict.PLAIN])
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
            judge(
                name,
                count,
                known=name in CONSTRUCTORS or name in MENTIONED,
                loose=self._loose[name] > 0,
                given=name in self._given,
            )
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
    operations: int = OPERATIONS + MAX_GROWTH,
    constructors: Mapping[str, Callable[..., Tree]] = CONSTRUCTORS,
) -> Unpickled:
    """Read the pickle that begins at `start`, with at most so many opcodes (`operations`).

    `persistent` resolves its persistent ids; `constructors` are the globals that it may call.
    `mentions` gets the globals that it names. Its work comes off the current budget. Raises
    PickleError where the data is not a valid pickle or is cut off, and PickleTooLarge where it
    exceeds the budget.
    """
    work = work_left()
    before, most = work.objects, min(len(data) - start, work.growth)
    operations = min(operations, work.operations + most // BYTES_PER_OPERATION)
    room = before + most // BYTES_PER_OBJECT
    loop = _Loop(data, mentions, persistent, start, operations, constructors, room)
    end = len(data)
    try:
        try:
            unpickled = loop.run()
        except Exception:
            mentions.forget_unused()
            raise
        end = unpickled.end
        return unpickled
    except MoreThanLoupeReads as error:
        # The error's traceback would keep all objects that were made.
        raise error.with_traceback(None)  # noqa: B904 - it is the same error
    except (struct.error, IndexError) as error:
        raise _early() from error
    except KeyError as error:
        raise _broken("it fetches an object that it has not put into its memo") from error
    except UnicodeError as error:
        raise _broken("a text in it is not in its opcode's encoding") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise _broken(str(error)) from error
    finally:
        counted = work.grow(end - start)
        spent = max(MIN_OPERATIONS, min(loop.spent, end - start))
        work.operations -= max(0, spent - counted // BYTES_PER_OPERATION)
        work.objects -= max(0, room - loop.room - counted // BYTES_PER_OBJECT)


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
    """One pickle that is being read: its data, and what is left of its budget.

    As in CPython's pickle, a MARK puts the stack aside and starts an empty one, so that an opcode
    that takes everything down to the mark takes a whole list.
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
        self.room = self.objects = room
        self.inner: list[bytes] = []
        self.may_have_unlisted = False
        self.uses = DataUses(mentions, self.take, counted=self.uses_are_counted())

    def run(self) -> Unpickled:  # one branch for each opcode, the frequent ones first
        data, call, persistent = self.data, self.call, self.persistent
        uint32 = _UINT32.unpack_from
        stack: list[Tree] = []
        aside: list[list[Tree]] = []
        memo: dict[int, Tree] = self.new_memo()
        fetched: Container[bytes] | None = None
        may_fetch: Container[bytes] = ()
        counted = written = 0
        runs = TensorRuns(data, persistent)
        value: Tree
        at = self.start
        for _ in chain.from_iterable(self.rounds()):
            op = data[at]
            at += 1
            if op == 0x72:  # LONG_BINPUT
                if fetched is None:
                    if counted:
                        raise ValueError("it numbers its memo in two ways")
                    fetched = _maybe_fetched(data, self.start)
                if data[at : at + 4] in fetched:
                    self.room -= 2
                    memo[uint32(data, at)[0]] = stack[-1]
                at += 4
            elif op == 0x71:  # BINPUT
                memo[data[at]] = stack[-1]
                at += 1
            elif op == 0x68:  # BINGET
                batch = dicts = None
                # What follows tells whether a tensor's run may begin here: MARK, or a fetched
                # function, or two, and MARK. EMPTY_TUPLE after one is a call without arguments.
                after = data[at + 1]
                if after == 0x68:
                    after = data[at + 3]
                    if after == 0x68:
                        after = data[at + 5]
                    elif after == 0x29:
                        dicts = runs.read_dicts(at - 1, memo, fetched)
                if after == 0x28:
                    batch = runs.read(at - 1, memo, fetched)
                if batch is not None:
                    pushed, objects, at = batch
                    self.take(objects)
                    stack += pushed
                elif dicts is not None:
                    pushed, at = dicts
                    self.room -= len(pushed) // 2
                    stack += pushed
                else:
                    stack.append(memo[data[at]])
                    at += 1
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
                after = data[at + 4]
                if after == 0x68:
                    after = data[at + 6]
                    if after == 0x68:
                        after = data[at + 8]
                batch = runs.read(at - 1, memo, fetched) if after == 0x28 else None
                if batch is None:
                    stack.append(memo[uint32(data, at)[0]])
                    at += 4
                else:
                    pushed, objects, at = batch
                    self.take(objects)
                    stack += pushed
            elif op == 0x4D:  # BININT2
                self.room -= 1
                stack.append(_UINT16.unpack_from(data, at)[0])
                at += 2
            elif op == 0x4A:  # BININT
                self.room -= 1
                stack.append(_INT32.unpack_from(data, at)[0])
                at += 4
            elif op == 0x94:  # MEMOIZE takes the memo's length as index; here the memo is sparse
                if counted == 0:
                    may_fetch = _maybe_fetched(data, self.start)
                if fetched is not None or len(memo) != written:
                    raise ValueError("it numbers its memo in two ways")
                if _UINT32.pack(counted) in may_fetch:
                    self.room -= 2
                    memo[counted] = stack[-1]
                    written += 1
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
                    raise ValueError(f"its protocol is {data[at]}, and the newest is 5")
                at += 1
            elif op == 0x2E:  # STOP
                if not stack:
                    raise ValueError("it ends without an object")
                return Unpickled(stack.pop(), at, tuple(self.inner), self.may_have_unlisted)
            elif op == 0x30:  # POP: an object, or a mark where it is on top
                if stack:
                    stack.pop()
                else:
                    stack = aside.pop()
            elif op == 0x31:  # POP_MARK
                stack = aside.pop()
            elif op == 0x32:  # DUP
                self.uses.count_use(stack[-1])
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
                if length < 0:
                    raise ValueError("a length in it is negative")
                self.take(1 + (length >> 6))
                end = at + 4 + length
                stack.append(int.from_bytes(self.slice(at + 4, end), "little", signed=True))
                at = end
            elif op == 0x7D:  # EMPTY_DICT
                self.room -= 3
                stack.append(InertDict())
            elif op == 0x5D:  # EMPTY_LIST
                self.room -= 1
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
                stack.append(set(map(self.key, items)))
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
                stack[-1] = call(stack[-1], args, new=True)
            elif op == 0x92:  # NEWOBJ_EX
                keywords, args, function = stack.pop(), stack.pop(), stack.pop()
                if self.uses.kept:
                    self.uses.give(function, (args, keywords))
                value = call(function, args, new=True)
                if isinstance(value, Opaque) and isinstance(keywords, dict):
                    self.take(len(keywords))
                    value.items.update(keywords)
                stack.append(value)
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
                stack.append({"00": False, "01": True}.get(text, _whole_number(text)))
            elif op == 0x4C:  # LONG
                text, at = self.line(at)
                stack.append(_whole_number(text.removesuffix("L")))
            elif op == 0x46:  # FLOAT
                text, at = self.line(at)
                stack.append(_float(text))
            elif op == 0x56:  # UNICODE
                text, at = self.line(at, _raw_text)
                stack.append(text)
            elif op == 0x53:  # STRING
                end = self.line_end(at)
                stack.append(_text(self.note_inner(_unquoted(data[at:end]))))
                at = end + 1
            elif op == 0x50:  # PERSID
                text, at = self.line(at)
                stack.append(persistent(text))
            elif op in (0x82, 0x83, 0x84):  # EXT1, EXT2, EXT4
                width = {0x82: 1, 0x83: 2, 0x84: 4}[op]
                code = int.from_bytes(self.slice(at, at + width), "little")
                at += width
                stack.append(self.name("copyreg extension", str(code)))
            else:
                raise ValueError(f"byte {at - 1} is not an opcode")
        raise PickleTooLarge(f"a pickle in it has more than {count_words(self.operations)} opcodes")

    def rounds(self) -> Iterator[Iterable[None]]:
        """Rounds of opcodes that may be read; between two, the budget of objects is checked."""
        while self.spent < self.operations:
            some = min(ROUND, self.operations - self.spent)
            self.spent += some
            yield repeat(None, some)
            self.take(0)

    def slice(self, start: int, end: int) -> bytes:
        if end > len(self.data):
            raise _early()
        return self.data[start:end]

    # Texts and bytes take their room without a look at the budget: they repeat nothing, and so grow
    # no faster than the data. It is looked at after each round of opcodes.

    def content(self, start: int, end: int) -> bytes:
        self.room -= 1 + (end - start >> 6)
        return self.note_inner(self.slice(start, end))

    def text(self, start: int, end: int) -> str:
        self.room -= 1 + (end - start >> 6)
        text = self.slice(start, end).decode("utf-8", "surrogatepass")
        if not text.isascii():
            self.room -= end - start >> 4
        return text

    def note_inner(self, raw: bytes) -> bytes:
        """Note bytes that may contain a pickle: a function that the file calls may load them."""
        self.may_have_unlisted = self.may_have_unlisted or len(raw) >= BYTE_STRING
        if len(self.inner) < MAX_INNER and may_have_pickles(raw):
            self.inner.append(raw)
        return raw

    def line(self, at: int, decode: Callable[[bytes], str] = bytes.decode) -> tuple[str, int]:
        end = self.line_end(at)
        return decode(self.data[at:end]), end + 1

    def line_end(self, at: int) -> int:
        end = self.data.find(b"\n", at)
        if end < 0:
            raise _early()
        self.take(2 + (end - at >> 4))
        return end

    def take(self, room: int) -> None:
        """Take objects off the budget: a few opcodes could copy far more than the file contains."""
        self.room -= room
        if self.room < 0:
            raise PickleTooLarge(
                f"its pickle makes more than {count_words(self.objects)} objects, copies included"
            )

    def name(self, module: str, name: str) -> Global:
        qualified = f"{module}.{name}"
        if len(qualified) > MAX_GLOBAL:
            raise PickleTooLarge(f"a class in it has a name of more than {MAX_GLOBAL} characters")
        self.mentions.add(qualified)
        return self.globals.setdefault(qualified, Global(qualified))

    def new_memo(self) -> dict[int, Tree]:
        """The memo; one that counts takes longer, and few pickles need it."""
        return _CountingMemo(self.uses.count_use) if self.uses.counted else {}

    def uses_are_counted(self) -> bool:
        """Whether the data contains a name of AS_DATA as a pickler writes it."""
        return any(
            self.data.find(written, self.start) >= 0
            for name, forms in _WRITTEN.items()
            if self.data.find(name, self.start) >= 0
            for written in forms
        )

    def call(self, function: Tree, args: Tree, *, new: bool = False) -> Tree:
        if not isinstance(args, tuple):
            args = (args,)
        if self.uses.kept:
            self.uses.give(function, args, new=new)
        constructor = self.constructors.get(function.name) if type(function) is Global else None
        if constructor is not None:
            # The constructor may copy its arguments, and the memo can provide them many times.
            room = 1 + len(args)
            if args and type(args[0]) is not Storage:
                room += _weight(args[0])
            self.take(room)
            try:
                value = constructor(*args)
                return self.note_inner(value) if type(value) is bytes else value
            except (TypeError, ValueError, struct.error, OverflowError):
                pass
        self.take(4)
        return self.uses.call(function, args, new=new)

    def set_items(self, into: Tree, items: list[Tree]) -> None:
        if len(items) % 2:
            raise ValueError("a key in it has no value")
        if self.uses.kept:
            self.uses.change(into)
        if isinstance(into, Opaque):
            into = into.items
        if not isinstance(into, dict):
            return
        self.room -= 1 + len(items) // 2
        keys = [key if type(key) is str else self.key(key) for key in items[::2]]
        into.update(zip(keys, items[1::2], strict=True))

    def key(self, key: Tree) -> Key:
        made = dict_key(key)
        if type(made) is UnusualKey:
            self.may_have_unlisted = True
        return made

    def extend(self, into: Tree, items: list[Tree]) -> None:
        self.take(2 + (len(items) >> 3))
        if self.uses.kept:
            self.uses.change(into)
        if isinstance(into, Opaque):
            into.elements.extend(items)
        elif isinstance(into, list):
            into.extend(items)
        elif isinstance(into, set):
            into.update(map(self.key, items))

    def build(self, into: Tree, state: Tree) -> None:
        """BUILD: Python's runs __setstate__ or fills __dict__; this one only stores the state."""
        self.take(1)
        if self.uses.kept:
            self.uses.store(into, state)
        if isinstance(into, Opaque):
            # (state, slots) is one state in two dicts, and a second BUILD adds to the first.
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


class _CountingMemo(dict[int, "Tree"]):
    """A memo that tells `count` of each object that is fetched."""

    def __init__(self, count: Callable[[Tree], None]) -> None:
        super().__init__()
        self._count = count

    def __getitem__(self, index: int) -> Tree:
        value = super().__getitem__(index)
        self._count(value)
        return value


_WRITTEN = {
    name: (
        b"\n%b\n" % name,
        b"%c%b" % (len(name), name),
        b"%c\0\0\0%b" % (len(name), name),
    )
    for name in (each.rpartition(".")[2].encode() for each in AS_DATA)
}
"""The names in AS_DATA as GLOBAL, SHORT_BINUNICODE and BINUNICODE write them."""

_LONG_BINGET = re.compile(rb"j(?=(.{4}))", re.DOTALL)
"""Every `j` with the four bytes after it, which may contain a `j` themselves."""

_ONE_BYTE_INDICES = frozenset(_UINT32.pack(index) for index in range(256))
"""The indices that BINGET can fetch, all of which count as fetched."""

_GET = re.compile(rb"g(\d{1,10})\n")


class _Every:
    """Stands for the set of all indices."""

    def __contains__(self, _index: object) -> bool:
        return True


def _maybe_fetched(data: bytes, start: int) -> Container[bytes]:
    """The memo indices, as LONG_BINPUT writes them, that some opcode in the data may fetch.

    Python's pickler puts every object into the memo and fetches few of them. Keeping only those
    saves the time and memory of all intermediate objects of the tensors. Bytes that only look like
    a LONG_BINGET make the set larger, and nothing else.
    """
    if data.count(b"j", start) > MAX_FETCHED:
        return _Every()
    indices = _ONE_BYTE_INDICES.union(match[1] for match in _LONG_BINGET.finditer(data, start))
    texts = [int(match[1]) for match in islice(_GET.finditer(data, start), MAX_FETCHED + 1)]
    if len(texts) > MAX_FETCHED:
        return _Every()
    return indices.union(_UINT32.pack(index) for index in texts if index < 1 << 32)


def _weight(value: Tree) -> int:
    """The cost of a copy of a value, in objects of about 64 bytes."""
    if isinstance(value, str | bytes):
        return len(value) >> 6
    return len(value) if isinstance(value, list | tuple | dict | set) else 0


def _text(raw: bytes) -> str:
    """A string of Python 2, which may be text in UTF-8 or bytes."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


_QUOTED = re.compile(rb"""(['"])(?:[^\\]|\\(?:[\\'"nrt]|x[0-9a-f]{2}))*+(?<=.\1)""", re.DOTALL)
"""A string as Python 2 writes it in protocol 0: its repr."""


def _unquoted(line: bytes) -> bytes:
    """The bytes of STRING, whose line is a repr."""
    if not _QUOTED.fullmatch(line):
        raise ValueError("a text in it is not between quotes")
    raw, _ = escape_decode(line[1:-1])
    return raw


def _raw_text(raw: bytes) -> str:
    """The text of UNICODE, decoded directly: by the codec's name, Python would import a module."""
    return raw_unicode_escape_decode(raw)[0]


_DIGITS = re.compile("-?[0-9]+")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise PickleTooLarge(f"a number in it has more than {count_words(MAX_DIGITS)} digits")
    try:
        return int(text)
    except ValueError:
        raise ValueError("a text in it is not a number") from None


def _whole_number(text: str) -> Tree:
    if len(text) <= MAX_DIGITS:
        return _integer(text)
    if not _DIGITS.fullmatch(text):
        raise ValueError("a text in it is not a number")
    digits = count_words(len(text.lstrip("-")))
    shown = f"{text[:SHOWN]}…{text[-SHOWN:]} (a number of {digits} digits)"
    return LongNumber(shown, sha256(text.encode()).digest())


def _float(text: str) -> float:
    try:
        return float(text[:MAX_DIGITS])
    except ValueError:
        raise ValueError("a text in it is not a number") from None


def no_persistent_ids(_identifier: Tree) -> Tree:
    """Resolve the persistent ids of a pickle in which none names a storage."""
    return Opaque("persistent id")


def begins_like_pickle(data: bytes) -> bool:
    """Whether bytes begin with the opcode PROTO, as pickles of protocol 2 and later do."""
    return data[:1] == b"\x80" and len(data) > 1 and data[1] <= 5
