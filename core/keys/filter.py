"""Which tensors of a state_dict to show: by text, glob or regular expression, and by dtype."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import translate

from core.checkpoint import TensorEntry
from core.errors import FilterError
from core.keys.patterns import Patience, PatternError, TooCostlyError, found_in
from core.wording import count

MAX_TEXT = 1_000
"""Characters in a filter at most."""


def filter_entries(
    entries: Mapping[str, TensorEntry], text: str = "", dtypes: Collection[str] = ()
) -> list[TensorEntry]:
    """The entries whose key matches `text` and whose dtype is one of `dtypes` (empty: any dtype).

    `fitting_keys` says how `text` is read. Raises FilterError where it cannot be used.
    """
    matching = fitting_keys(text, list(entries))
    return [
        entry
        for key, entry in entries.items()
        if key in matching and (not dtypes or entry.dtype in dtypes)
    ]


def fitting_keys(text: str, keys: Sequence[str]) -> frozenset[str]:
    """The keys that match a filter that a person typed.

    `/…/` is a regular expression that may match anywhere in the key. A text with `*`, `?` or `[` is
    a glob for the whole key. Anything else is words that must all occur in the key, in upper or
    lower case. Raises FilterError where the regular expression is invalid or too costly.
    """
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise FilterError(
            f"The filter is {count(len(text))} characters long.", f"{count(MAX_TEXT)} is the most."
        )
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        return _search(text[1:-1], keys)
    if any(character in text for character in "*?["):
        return _search(rf"\A{translate(text)}", keys)
    words = text.lower().split()
    return frozenset(key for key in keys if all(word in key.lower() for word in words))


def _search(pattern: str, keys: Sequence[str]) -> frozenset[str]:
    try:
        return found_in(pattern, keys, Patience())
    except TooCostlyError as error:
        raise FilterError(
            "This filter takes too long, or too much memory, on the keys of this file.",
            "Write it without a repeat inside a repeat, such as `(a+)+`.",
        ) from error
    except PatternError as error:
        raise FilterError(
            f"/{pattern}/ is not a regular expression: {error}.",
            "Correct it, or leave the slashes out to search for plain text.",
        ) from error
