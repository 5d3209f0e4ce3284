"""Which keys of a state_dict match a pattern."""

from __future__ import annotations

import re
from fnmatch import translate

from core.checkpoint import StateDict
from core.fixes.base import Syntax
from core.fixes.effects import checked_text, unusable
from core.keys import Patience, PatternError, found_in

_PLAIN = re.compile(r"(\*?)((?:[^*?\[\]]|\[[*?\[]\])*)(\*?)", re.DOTALL)
"""A glob of a text with a star before it, after it, or neither.

It needs no regex, and so no child process that guards against a regex that never ends."""


def _matches(text: str, key: str, before: str, after: str) -> bool:
    if before and after:
        return text in key
    if before:
        return key.endswith(text)
    return key.startswith(text) if after else key == text


def matching(
    pattern: str, syntax: Syntax, state_dict: StateDict, patience: Patience
) -> frozenset[str]:
    """The keys that match a pattern. Raises FixError if the pattern cannot be used."""
    checked_text(pattern, "pattern")
    plain = _PLAIN.fullmatch(pattern) if syntax == "glob" else None
    if plain is not None:
        before, text, after = plain[1], re.sub(r"\[(.)\]", r"\1", plain[2]), plain[3]
        return frozenset(key for key in state_dict if _matches(text, key, before, after))
    regular = pattern if syntax == "regex" else rf"\A{translate(pattern)}"
    try:
        return found_in(regular, list(state_dict), patience)
    except PatternError as error:
        raise unusable(pattern, error) from error


def globbed(pattern: str, state_dict: StateDict, patience: Patience) -> frozenset[str]:
    """The keys that match a glob. Raises FixError if the glob cannot be used."""
    if pattern == "*":
        return frozenset(state_dict)
    return matching(pattern, "glob", state_dict, patience)
