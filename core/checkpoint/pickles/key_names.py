"""The names of dict keys in paths and tables: readable, bounded, and each different."""

from __future__ import annotations

from cmath import isnan
from collections.abc import Container, Iterable, Sequence

from core.checkpoint.pickles.inert import (
    Global,
    InertDtype,
    InertSubclass,
    InertTensor,
    Key,
    LongBytes,
    Opaque,
    Storage,
    Tree,
    UnusualKey,
)
from core.wording import shape as shape_words

MAX_SHOWN = 200
"""Bytes and characters that the text of a key shows of each value in it."""

MAX_ITEMS = 64
"""Items that the text of a key shows of each tuple in it."""

MAX_DEPTH = 2
"""Levels of tuples in a tuple that the text of a key shows."""

MAX_TEXT = 400
"""Characters of the text of a key that is not text itself."""

MAX_NAME = 1 << 20
"""Characters of a name, unless a caller wants fewer."""

MAX_SHORT = 40
"""Characters of an argument that the text of an object shows."""

MAX_BITS = 4096
"""Bits of a number that is shown in full."""


def key_text(key: Key) -> str:
    """The name of a key in paths and tables. Different keys may have the same: see `named`."""
    return key if type(key) is str else text_of(key)


def text_of(value: Tree) -> str:
    """A value in bounded text. Different values may have the same."""
    return _text(value, MAX_DEPTH)[:MAX_TEXT]


def says_all(key: Key) -> bool:
    """Whether no other key of the same type has the same text."""
    return _says_all(key, MAX_DEPTH) and len(_text(key, MAX_DEPTH)) <= MAX_TEXT


def _says_all(value: Tree, depth: int) -> bool:
    match value:
        case UnusualKey():
            return _says_all(value.value, depth)
        case str() | bytes():
            return len(value) <= MAX_SHOWN
        case bool() | None | Global():
            return True
        case float() | complex():
            return not isnan(value)  # whose bits are not shown
        case int():
            return value.bit_length() <= MAX_BITS
        case tuple() | set():
            return _all_say_all([*value], depth)
        case Opaque(args=args) if args and all(_is_short(item) for item in args):
            alone = not (value.state or value.items or value.elements)
            return alone and _all_say_all(args, depth)
        case _:
            return False


def _all_say_all(items: Sequence[Tree], depth: int) -> bool:
    shown = depth > 0 and len(items) <= MAX_ITEMS
    return shown and all(_says_all(item, depth - 1) for item in items)


def _text(value: Tree, depth: int) -> str:
    match value:
        case UnusualKey():
            return _text(value.value, depth)
        case str() | bytes():
            return repr(value[:MAX_SHOWN])
        case bool() | float() | complex() | None:
            return str(value)
        case int():
            if -(1 << 60) < value < 1 << 60:
                return str(value)
            bits = value.bit_length()
            return hex(value) if bits <= MAX_BITS else f"number of {bits} bits"
        case tuple():
            return f"({_texts(value, depth)})"
        case set():
            return f"frozenset({{{', '.join(sorted(_shown_parts([*value], depth)))}}})"
        case Opaque(name=name, args=args) if args and all(_is_short(item) for item in args):
            return f"<{name}({_texts(args, depth)})>"
        case InertTensor() | InertSubclass():
            return f"<tensor {shape_words(value.shape)}>"
        case Storage():
            return f"<storage {value.key[:MAX_SHOWN]}>"
        case InertDtype():
            return f"numpy dtype {value.code[:MAX_SHOWN]}"
        case LongBytes():
            return f"<{value.source.size} bytes>"
        case _:
            return str(value)


def _texts(items: Sequence[Tree], depth: int) -> str:
    return ", ".join(_shown_parts(items, depth))


def _shown_parts(items: Sequence[Tree], depth: int) -> list[str]:
    if depth == 0:
        return ["…"]
    shown = [_text(item, depth - 1) for item in items[:MAX_ITEMS]]
    return [*shown, "…"] if len(items) > MAX_ITEMS else shown


def _is_short(value: Tree) -> bool:
    """Whether an argument tells one object from another of its class, as an Enum's value does."""
    if isinstance(value, str | bytes):
        return len(value) <= MAX_SHORT
    return value is None or isinstance(value, int | float)


def named(children: Iterable[tuple[Key, Tree]], mapping: Container[object] = ()) -> dict[str, Tree]:
    """Children by the text of their keys, each under a name of its own.

    They may be a part of what is in `mapping`; a name is then the same, whichever the others are.
    """
    pairs = list(children)
    names = {key if type(key) is str else key_text(key): item for key, item in pairs}
    texts = {key for key, _ in pairs if type(key) is str}
    if len(names) == len(pairs) and (not mapping or len(texts) == len(pairs)):
        return names
    own = Names(mapping or texts)
    return {own.name(key): item for key, item in pairs}


class Names:
    """Names of the keys of one mapping, no two alike.

    Of keys that print alike, such as `1` and `"1"`, text keeps its name, and the others' names say
    their type or have a number behind them. `texts` contains the keys that are text.
    """

    def __init__(self, texts: Container[object] = ()) -> None:
        self._texts = texts
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def name(self, key: Key, most: int = MAX_NAME) -> str:
        """The next key's name, of at most so many characters and a number."""
        text, is_text = key_text(key), type(key) is str
        if not is_text and text in self._texts:
            text = f"{text} ({key_kind(key)})"
        text = name = text if len(text) <= most else text[:most]
        while name in self._taken or (name in self._texts and not (is_text and name is text)):
            self._numbers[text] = self._numbers.get(text, 1) + 1
            name = f"{text} ({self._numbers[text]})"
        self._taken.add(name)
        return name


def key_kind(key: Key) -> str:
    """What a key is: `str`, `int`, `tuple`, or `object`."""
    if isinstance(key, Opaque | Global):
        return "object"
    return type(key.value if isinstance(key, UnusualKey) else key).__name__
