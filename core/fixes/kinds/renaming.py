"""Fixes of keys: prefixes, patterns and tables."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from core.checkpoint.entries import StateDict
from core.errors import FixError
from core.fixes.effects import checked_text, effect_sentence, unusable
from core.fixes.fix import (
    MAX_CHARACTERS,
    MAX_KEY,
    AddPrefix,
    Effect,
    Rename,
    RenameTable,
    StripPrefix,
)
from core.fixes.rebuilt import rebuilt
from core.patterns import Patience, PatternError, ReplacementError, TooCostlyError, replaced


def new_keys(
    fix: StripPrefix | AddPrefix | Rename | RenameTable,
    keys: Sequence[str],
    patience: Patience | None = None,
) -> list[str]:
    """What the fix makes of each key, in the time that is left. Raises FixError."""
    patience = patience or Patience()
    if isinstance(fix, RenameTable):
        table = dict(fix.table)
        return [table.get(key, key) for key in keys]
    if isinstance(fix, Rename):
        return _substituted(fix, keys, patience)
    prefix = checked_text(fix.prefix, "prefix")
    if isinstance(fix, AddPrefix):
        return [prefix + key for key in keys]
    if fix.anywhere:
        return _stripped_anywhere(prefix, keys, patience)
    start = re.compile(prefix_regex(prefix) + r"(?=.)", re.DOTALL)
    return [key[found.end() :] if (found := start.match(key)) else key for key in keys]


def renamed(state_dict: StateDict, new_names: Sequence[str]) -> tuple[StateDict, Effect]:
    """The state_dict under new names, one a key. Raises FixError where two would be one."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    characters = sum(map(len, new_names))
    if characters > max(MAX_CHARACTERS, sum(map(len, state_dict))):
        raise FixError(
            f"The keys would get {characters:,} characters in all.",
            f"{MAX_CHARACTERS:,} is the most: make the fix so that it adds less.",
        )
    for key, new in zip(state_dict, new_names, strict=True):
        if not new and key:
            raise FixError(f"Nothing would be left of the key `{key}`.", "Leave a part of it.")
        if len(new) > max(MAX_KEY, len(key)):
            raise FixError(
                f"The key `{key[:80]}` would get {len(new):,} characters.",
                f"{MAX_KEY:,} is the most: make the fix so that it does not repeat the key.",
            )
        if new in taken:
            raise FixError(
                f"`{taken[new]}` and `{key}` would both become `{new}`.",
                "Drop one of them in a step before this one, or make the fix more exact.",
            )
        names[key] = new
        taken[new] = key
    changed = sum(old != new for old, new in names.items())
    entries = [entry.under(names[key]) for key, entry in state_dict.items()]
    effect = Effect(changed, 0, effect_sentence(changed, "renamed"))
    return rebuilt(state_dict, entries, names.items()), effect


def prefix_regex(prefix: str) -> str:
    """A prefix as a regex, in which `*` is any text inside one part of a path.

    Where the last part, which no dot ends, leaves a choice, each `*` takes as little as it can.
    No choice is taken back, as in `fnmatch.translate`, so that matching takes time in proportion
    to a key's length, whatever the number of stars.
    """
    *whole, last = prefix.split(".")
    return "".join(_part_regex(part, r"\.") for part in whole) + _part_regex(last, "")


def _part_regex(part: str, dot: str) -> str:
    start, *texts = part.split("*")
    if not texts:
        return re.escape(start) + dot
    *inner, end = texts
    lazy = "".join(f"(?>[^.]*?{re.escape(text)})" for text in inner if text)
    if not end:
        rest = f"[^.]*+{dot}"
    elif dot:
        rest = f"(?>[^.]*{re.escape(end)}{dot})"
    else:
        rest = f"(?>[^.]*?{re.escape(end)})"
    return re.escape(start) + lazy + rest


def _stripped_anywhere(prefix: str, keys: Sequence[str], patience: Patience) -> list[str]:
    at_a_part = re.compile(rf"(?:^|(?<=\.)){prefix_regex(prefix)}(?=.)", re.DOTALL)
    started = time.thread_time()
    stripped = []
    try:
        for key in keys:
            new, longer = at_a_part.sub("", key), key
            while new != longer:
                if time.thread_time() - started > patience.left:
                    raise TooCostlyError
                new, longer = at_a_part.sub("", new), new
            stripped.append(new)
        patience.spend(time.thread_time() - started)
    except TooCostlyError as error:
        raise FixError(
            f"To strip `{prefix}` takes too long on the keys of this file.",
            "Strip it only from their beginning.",
        ) from error
    return stripped


def _substituted(fix: Rename, keys: Sequence[str], patience: Patience) -> list[str]:
    pattern = checked_text(fix.pattern, "pattern")
    replacement = checked_text(fix.replacement, "replacement", required=False)
    try:
        return replaced(pattern, replacement, keys, patience)
    except ReplacementError as error:
        raise FixError(
            f"The new name `{replacement}` cannot be used: {error}.",
            r"Groups of the pattern are `\1`, `\2` and so on, a backslash is `\\`.",
        ) from error
    except PatternError as error:
        raise unusable(pattern, error) from error
