"""The forms in which honest libraries call functions that are dangerous in any other.

Each takes the arguments of a call and says whether they have that form. What the call gives is
harmless only as long as nothing calls it, which `DataUses` watches.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Mapping

from core.checkpoint.pickles.inert import Global, Opaque, Tree
from core.checkpoint.pickles.known_globals import GETITEM, TYPE, UNION

MAX_TYPES = 1000
"""Types in one type, those inside of others included."""

METHODS_OF_TYPES: Mapping[str, frozenset[str]] = {
    f"{module}.{name}": frozenset(each for each in dir(kind) if not each.startswith("_"))
    for module in ("builtins", "__builtin__")
    for name in ("str", "bytes", "dict", "list", "set", "tuple", "int", "float")
    for kind in (getattr(builtins, name),)
}
"""The public methods of Python's own types, such as `str.split`."""

_TYPING = re.compile(r"typing(?:_extensions)?\.[A-Z]\w*")
"""A special form of typing, such as `typing.List`."""

_ZONE = re.compile(r"\w[\w+-]*(?:/\w[\w+-]*)*")
"""The name of a time zone."""

_FILE_SYSTEMS = frozenset(
    {
        "fsspec.implementations.local.LocalFileSystem",
        "fsspec.implementations.memory.MemoryFileSystem",
    }
)
"""The classes of fsspec that open nothing when they are made."""


def is_scalar(value: Tree) -> bool:
    """Whether the value is a text, a number or None."""
    return value is None or isinstance(value, str | int | float)


def is_item_getter(args: tuple[Tree, ...]) -> bool:
    """`itemgetter(1)`."""
    return bool(args) and all(map(is_scalar, args))


def is_attribute_getter(args: tuple[Tree, ...]) -> bool:
    """`attrgetter("loss")`, which may name an attribute of an attribute."""
    return bool(args) and all(
        isinstance(name, str)
        and all(part.isidentifier() and not part.startswith("_") for part in name.split("."))
        for name in args
    )


def is_method_caller(args: tuple[Tree, ...]) -> bool:
    """`methodcaller("lower")`."""
    return is_attribute_getter(args[:1]) and all(map(is_scalar, args))


def is_type_of_items(args: tuple[Tree, ...]) -> bool:
    """`typing.List[int]`: `getitem(typing.List, int)`."""
    return (
        len(args) == 2
        and isinstance(args[0], Global)
        and _TYPING.fullmatch(args[0].name) is not None
        and _are_types(args[1])
    )


def is_union(args: tuple[Tree, ...]) -> bool:
    """`int | None`: `reduce(or_, (int, NoneType))`."""
    return (
        len(args) == 2
        and isinstance(args[0], Global)
        and args[0].name in ("operator.or_", "_operator.or_")
        and isinstance(args[1], tuple)
        and _are_types(args[1])
    )


def is_local_file_system(args: tuple[Tree, ...]) -> bool:
    """`make_instance(LocalFileSystem, (), {})`."""
    return (
        len(args) == 3
        and isinstance(args[0], Global)
        and args[0].name in _FILE_SYSTEMS
        and args[1] == ()
        and isinstance(args[2], dict)
        and all(map(is_scalar, args[2].values()))
    )


def is_time_zone(args: tuple[Tree, ...]) -> bool:
    """`ZoneInfo._unpickle("Europe/Berlin", 1)`."""
    return (
        len(args) == 2
        and isinstance(args[0], str)
        and _ZONE.fullmatch(args[0]) is not None
        and isinstance(args[1], int)
    )


def _are_types(value: Tree) -> bool:
    """Whether a value consists of types, and of the texts and numbers of `Literal`."""
    rest, seen = [value], 0
    while rest:
        item = rest.pop()
        seen += 1
        if seen > MAX_TYPES:
            return False
        if isinstance(item, list | tuple):
            if len(item) > MAX_TYPES:
                return False
            rest.extend(item)
        elif isinstance(item, Opaque):
            if item.name in TYPE:
                if item.args != (None,):
                    return False
            elif item.name not in (*GETITEM, *UNION, "types.GenericAlias"):
                return False
        elif not isinstance(item, Global) and not is_scalar(item):
            return False
    return True


STORED: Mapping[str, Callable[[tuple[Tree, ...]], bool]] = {
    **{
        f"{module}.{name}": form
        for module in ("operator", "_operator")
        for name, form in (
            ("itemgetter", is_item_getter),
            ("attrgetter", is_attribute_getter),
            ("methodcaller", is_method_caller),
        )
    },
    **dict.fromkeys(GETITEM, is_type_of_items),
    **dict.fromkeys(UNION, is_union),
}
"""The functions whose result must only be stored, each with its form."""

MADE: Mapping[str, Callable[[tuple[Tree, ...]], bool]] = {
    "fsspec.spec.make_instance": is_local_file_system
}
"""The functions whose result is an object like any other, each with its form."""

CALLED: Mapping[str, tuple[str, Callable[[tuple[Tree, ...]], bool]]] = {
    "zoneinfo.ZoneInfo._unpickle": ("zoneinfo.ZoneInfo", is_time_zone)
}
"""Methods that honest files fetch by `getattr` and call: the class that they make, and the form."""
