"""Which tensors of a state_dict to show: by text, glob or regular expression, and by dtype."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from fnmatch import translate

from core.checkpoint.entries import TensorEntry
from core.errors import FilterError
from core.patterns import OutOfTimeError, Pattern, PatternError


def filter_entries(
    entries: Mapping[str, TensorEntry], text: str = "", dtypes: Collection[str] = ()
) -> list[TensorEntry]:
    """The entries whose key fits `text` and whose dtype is one of `dtypes` (none: any dtype).

    `text` is read as by `key_predicate`. Raises FilterError where it is no regular expression.
    """
    fits = key_predicate(text)
    return [
        entry
        for key, entry in entries.items()
        if fits(key) and (not dtypes or entry.dtype in dtypes)
    ]


def key_predicate(text: str) -> Callable[[str], bool]:
    """What a person types, as a question to ask of a key.

    `/…/` is a regular expression, found anywhere in the key; a text with `*`, `?` or `[` is a
    glob over the whole key; anything else is words that must all occur, in any case.
    Raises FilterError where the regular expression is wrong; the function does where it takes too
    long.
    """
    text = text.strip()
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        return _search(text[1:-1])
    if any(sign in text for sign in "*?["):
        return _search(rf"\A{translate(text)}")
    words = text.lower().split()
    return lambda key: all(word in key.lower() for word in words)


def _search(pattern: str) -> Callable[[str], bool]:
    try:
        compiled = Pattern(pattern)
    except PatternError as error:
        raise FilterError(
            f"/{pattern}/ is not a regular expression: {error}.",
            "Correct it, or leave the slashes out to search for plain text.",
        ) from error

    def found(key: str) -> bool:
        try:
            return compiled.found_in(key)
        except OutOfTimeError as error:
            raise FilterError(
                "This filter takes too long on the keys of this file.",
                "Write it without a repeat inside a repeat, such as `(a+)+`.",
            ) from error

    return found
