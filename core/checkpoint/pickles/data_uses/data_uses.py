"""Follows what dangerous functions gave to a pickle, and counts whatever may call it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.checkpoint.pickles.constructors import CONSTRUCTORS, MENTIONED
from core.checkpoint.pickles.data_uses.forms import CALLED, MADE, METHODS_OF_TYPES, STORED
from core.checkpoint.pickles.global_verdicts import CLASS_NAME, Verdict, judge
from core.checkpoint.pickles.inert import MAX_GLOBAL, Global, Key, Opaque, Tree, UnusualKey
from core.checkpoint.pickles.known_globals import AS_DATA, GETATTR, TYPE

if TYPE_CHECKING:
    from core.checkpoint.pickles.unpickler import Mentions

_STORING = frozenset(
    {
        *(f"{module}.{name}" for module in ("builtins", "__builtin__")
          for name in ("dict", "list", "tuple", "set", "frozenset")),
        *("collections.OrderedDict", "collections.Counter", "collections.deque", "torch.Size"),
    }
)  # fmt: skip
"""Classes that keep their arguments and call none."""

_CALLING: Mapping[str, slice] = {
    "collections.defaultdict": slice(0, 1),
    "functools.partial": slice(0, 1),
    "torch._tensor._rebuild_from_type": slice(0, 3),
    "torch._tensor._rebuild_from_type_v2": slice(0, 3),
    "torch._utils._rebuild_parameter_with_state": slice(0, 3),
}
"""Functions that may call some of their arguments, at once or later, and only keep the others."""

_PARTIAL = "functools.partial"

_METHODS_IN_PARTIALS = (("configparser.SectionProxy", "get"), ("ConfigParser.SectionProxy", "get"))
"""The owner and the name of a method that configparser keeps in a partial, by both its names."""

_RECONSTRUCTORS = ("copyreg._reconstructor", "copy_reg._reconstructor")

_ARRAYS = ("numpy.ndarray", "torch.Tensor", "torch._tensor.Tensor")
"""Plain classes whose methods are judged by their names."""

_OBJECTS = ("builtins.object", "__builtin__.object")

_CALLED_BY_OPCODES = frozenset({"append", "extend", "add"})
"""Attributes of an object that opcodes call: APPEND, APPENDS and ADDITEMS (Lib/pickle.py). BUILD
calls `__setstate__`."""


@dataclass(frozen=True, slots=True)
class _New:
    """The call of `__new__` in a partial: the partial, the class, and the arguments.

    `source` is the function that gave the method.
    """

    partial: Opaque
    owner: str
    args: tuple[Tree, ...]
    keywords: dict[Key, Tree]
    source: str


class DataUses:
    """What the functions in AS_DATA, and `type`, gave to one pickle, and where it goes.

    `kept` says whether there is anything to follow. `take` takes work off the budget.
    """

    def __init__(self, mentions: Mentions, take: Callable[[int], None], *, counted: bool) -> None:
        """`counted` says that each use of such a function out of the memo is counted.

        Without that, no use is taken for data.
        """
        self.kept = False
        self._mentions = mentions
        self._take = take
        self.counted = counted
        self._members: dict[str, str] = {}
        self._objects: dict[int, tuple[Opaque, str]] = {}
        self._pending: dict[int, _New] = {}

    def count_use(self, value: Tree) -> None:
        """Count that a function in AS_DATA is put on the stack again."""
        if type(value) is Global and value.name in AS_DATA:
            self._mentions.loosen(value.name)

    def call(self, function: Tree, args: tuple[Tree, ...], *, new: bool) -> Tree:
        """What a call gives that no constructor of Loupe makes, with its uses counted."""
        if type(function) is Global:
            if function.name in AS_DATA and not new and self.counted:
                given = self._call_of_data(function.name, args)
                if given is not None:
                    return given
            self._mentions.call(function.name)
            made = None
            if function.name in self._members or function.name in TYPE:
                made = self._call_of_member(function.name, args, new=new)
            if made is None:
                made = Opaque(function.name, args)
                if function.name == _PARTIAL and self.kept:
                    self._keep_all(made, args)
            return made
        if isinstance(function, Opaque):
            made = self._made_by_partial(function, args)
            if made is not None:
                return made
            if function.name in TYPE:
                self._mentions.loosen(function.name)
            self._count(function)
            for source in self._held((function.args, function.state)):
                self._mentions.loosen(source)
            return Opaque(function.name.removesuffix("(…)") + "(…)", args)
        return Opaque(f"{type(function).__name__} object", args)

    def give(self, function: Tree, args: tuple[Tree, ...], *, new: bool = False) -> None:
        """Count that what was fetched is among the arguments of a call.

        Where the class that is made of it is unknown, it is not known whether it calls it.
        """
        name = function.name if type(function) is Global else ""
        if name in _STORING or name in GETATTR or name in STORED:
            return
        if name == _PARTIAL and not new and self._may_be_partial(args):
            return
        if name in _RECONSTRUCTORS and self._is_bare(args):
            return
        if name in _CALLING:
            args = args[_CALLING[name]]
        held = self._held(args)
        is_class = CLASS_NAME.fullmatch(name.rpartition(".")[2]) is not None
        is_unknown = bool(name) and not judge(name, 1, known=_is_known(name)).is_known
        for source in held:
            if new and is_class and is_unknown:
                self._mentions.give(source)
            else:
                self._mentions.loosen(source)

    def change(self, value: Tree) -> None:
        """Count that what was fetched is changed."""
        self._count(value)

    def store(self, into: Tree, state: Tree) -> None:
        """Count that a state has what was fetched where an opcode or the object calls it."""
        if isinstance(into, Opaque) and into.name == _PARTIAL:
            self._store_in_partial(into, state)
            return
        self._count(into)
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                for key, value in part.items():
                    if not isinstance(key, str) or key in _CALLED_BY_OPCODES or key[:2] == "__":
                        self._count(value)

    def _store_in_partial(self, partial: Opaque, state: Tree) -> None:
        """Note what a partial calls and with what; whatever uses it may call both."""
        pending = self._pending.pop(id(partial), None)
        new = None if pending else self._new_in(partial, state)
        if new is not None:
            # Until it is called, it counts like any other object that has what was fetched.
            self._mentions.loosen(new.source)
            self._pending[id(partial)] = new
            return
        if isinstance(state, tuple) and not self._may_be_partial(state[:1]):
            for source in self._held(state[:1]):
                self._mentions.loosen(source)
        self._keep_all(partial, state)

    def _call_of_data(self, name: str, args: tuple[Tree, ...]) -> Tree | None:
        """What a call of a function in AS_DATA gives, if it has the form of data."""
        if name in GETATTR:
            return self._member(name, args)
        form = STORED.get(name) or MADE.get(name)
        if form is None or not form(args):
            return None
        self._mentions.accept(name)
        made = Opaque(name, args)
        if name in STORED:
            self._keep(made, name)
        return made

    def _member(self, name: str, args: tuple[Tree, ...]) -> Tree | None:
        """The attribute that a call of `getattr` fetches; None unless it may be data.

        That of a class is named as protocol 4 would name it, `module.Class.MEMBER`, and judged by
        that name; that of an object is judged so too.
        """
        if len(args) != 2:
            return None
        owner, attribute = args
        if (
            type(attribute) is not str
            or len(attribute) > MAX_GLOBAL
            or not attribute.isidentifier()
        ):
            return None
        if isinstance(owner, Opaque):
            if id(owner) in self._objects or not _is_inert(owner.name):
                return None
            if _is_internal(attribute) or not _is_inert(f"{owner.name}.{attribute}"):
                return None
            self._mentions.accept(name)
            method = Opaque(name, args)
            self._keep(method, name)
            return method
        if isinstance(owner, str):
            owner = Global("builtins.str")
        if type(owner) is not Global:
            return None
        if owner.name in self._members and not _is_class_in_class(owner.name):
            return None
        member = f"{owner.name}.{attribute}"
        if len(member) > MAX_GLOBAL:
            return None
        if member not in CALLED and not _is_new_of(owner.name, attribute):
            methods = METHODS_OF_TYPES.get(owner.name)
            is_method = owner.name in _ARRAYS or (methods is not None and attribute in methods)
            if _is_internal(attribute) or not (is_method or _is_inert(owner.name)):
                return None
            if not _is_inert(member):
                return None
        self._mentions.accept(name)
        self._members[member] = name
        self.kept = True
        return Global(member)

    def _call_of_member(self, name: str, args: tuple[Tree, ...], *, new: bool) -> Opaque | None:
        """Count a call of a member, and one of `type` that makes a class.

        A pickle of protocol 2 names a class inside another by `getattr` too. Making its instance,
        or fetching a member by its value, is data.
        """
        if name in TYPE and len(args) != 1:
            self._mentions.loosen(name)
        source = self._members.get(name)
        if source is None:
            return None
        if name in CALLED and not new:
            made, form = CALLED[name]
            if form(args):
                return Opaque(made, args)
        is_class = CLASS_NAME.fullmatch(name.rpartition(".")[2])
        if not is_class or not (new or (len(args) == 1 and _is_members_value(args[0]))):
            self._mentions.loosen(source)
        return None

    # Protocol 2 writes an object whose class has __getnewargs_ex__ as
    # partial(cls.__new__, cls, *args, **keywords)(): the method as the argument of partial, all of
    # them as its state, and a call without arguments (Lib/pickle.py, save_reduce).

    def _may_be_partial(self, args: tuple[Tree, ...]) -> bool:
        """Whether honest files keep a partial of this method, and nothing but the method."""
        if len(args) != 1:
            return False
        method = args[0]
        if self._class_of_new(method) is not None:
            return True
        if not isinstance(method, Opaque) or len(method.args) != 2:
            return False
        owner, attribute = method.args
        return isinstance(owner, Opaque) and (owner.name, attribute) in _METHODS_IN_PARTIALS

    def _class_of_new(self, method: Tree) -> str | None:
        """The class of a method `__new__` that `getattr` gave."""
        if type(method) is not Global or method.name not in self._members:
            return None
        owner, _, attribute = method.name.rpartition(".")
        return owner if attribute == "__new__" else None

    def _new_in(self, partial: Opaque, state: Tree) -> _New | None:
        """The call of `__new__` that a partial stands for with this state; None for another."""
        if not isinstance(state, tuple) or len(state) != 4 or partial.state is not None:
            return None
        method, args, keywords, attributes = state
        owner = self._class_of_new(method)
        if owner is None or partial.args != (method,) or not isinstance(args, tuple):
            return None
        if args[:1] != (Global(owner),) or not isinstance(keywords, dict):
            return None
        if attributes is not None and attributes != {}:
            return None
        return _New(partial, owner, args[1:], keywords, self._members[f"{owner}.__new__"])

    def _made_by_partial(self, function: Opaque, args: tuple[Tree, ...]) -> Opaque | None:
        """The object that such a partial makes; None for another."""
        new = None if args else self._pending.pop(id(function), None)
        if new is None:
            return None
        self._mentions.accept(new.source)
        for source in self._held((new.args, new.keywords)):
            self._mentions.loosen(source)
        made = Opaque(new.owner, new.args)
        made.items.update(new.keywords)
        return made

    def _is_bare(self, args: tuple[Tree, ...]) -> bool:
        """Whether protocols 0 and 1 make an object with these arguments, as NEWOBJ does."""
        if len(args) != 3 or type(args[0]) is not Global or type(args[1]) is not Global:
            return False
        is_class = CLASS_NAME.fullmatch(args[0].name.rpartition(".")[2])
        return is_class is not None and args[1].name in _OBJECTS and args[2] is None

    def _keep(self, value: Opaque, source: str) -> None:
        # The object is kept too, so that no later object gets the same id.
        self._objects[id(value)] = value, source
        self.kept = True

    def _keep_all(self, value: Opaque, inside: Tree) -> None:
        """Follow an object as what was fetched and is inside of it."""
        for source in self._held(inside):
            self._keep(value, source)

    def _count(self, value: Tree) -> None:
        """Count a use of what was fetched that is not data."""
        source = self._source(value)
        if source is not None:
            self._mentions.loosen(source)

    def _source(self, value: Tree) -> str | None:
        """The name of the function that gave a value; None if none did."""
        if type(value) is Global:
            return self._members.get(value.name)
        if isinstance(value, Opaque) and id(value) in self._objects:
            return self._objects[id(value)][1]
        return None

    def _held(self, value: Tree) -> set[str]:
        """The functions that gave what is among some arguments, also inside of their lists."""
        sources: set[str] = set()
        searched: set[int] = set()
        rest: list[Tree] = [value]
        while rest:
            item = rest.pop()
            source = self._source(item)
            if source is not None:
                sources.add(source)
            elif isinstance(item, UnusualKey):
                rest.append(item.value)
            elif isinstance(item, list | tuple | set | dict) and id(item) not in searched:
                searched.add(id(item))
                self._take(1 + len(item))
                rest.extend(item)
                if isinstance(item, dict):
                    rest.extend(item.values())
        return sources


def _is_known(name: str) -> bool:
    return name in CONSTRUCTORS or name in MENTIONED


def _is_inert(name: str) -> bool:
    return judge(name, 1, known=_is_known(name)).verdict is Verdict.INERT


def _is_class_in_class(name: str) -> bool:
    """Whether what `getattr` gave is named as a class inside a class, which may have members."""
    return all(CLASS_NAME.fullmatch(part) for part in name.split(".")[-2:])


_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def _is_members_value(value: Tree) -> bool:
    """Whether a value is one by which an Enum's member is fetched: a number, or one plain word."""
    return type(value) is int or (type(value) is str and _WORD.fullmatch(value) is not None)


def _is_internal(attribute: str) -> bool:
    """Whether Python or its Enum reserve a name: `__name__`, `_name_`, and what looks like them."""
    return attribute.startswith("__") or (attribute.startswith("_") and attribute.endswith("_"))


def _is_new_of(owner: str, attribute: str) -> bool:
    """Whether this is the method that makes the objects of a class that stays inert."""
    return attribute == "__new__" and _is_inert(owner)
