"""Fixes that rename keys: by prefixes, patterns and tables."""

from __future__ import annotations

import re
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from core.checkpoint import StateDict
from core.errors import FixError
from core.fixes.base import MAX_CHARACTERS, MAX_KEY, Changed, Context, Effect, Fix
from core.fixes.computed import rebuilt
from core.fixes.effects import checked_text, effect_sentence, unusable
from core.fixes.form import PATTERN, Form, SwitchField, TableField, TextField
from core.fixes.script_part import ScriptPart, literal, renaming
from core.keys import Patience, PatternError, ReplacementError, TooCostlyError, replaced
from core.wording import count, counted

PREFIX = TextField("prefix", "Prefix", "module.")

STRIP_ANYWHERE = r'''
def strip_anywhere(key, prefix):
    """The key without the prefix, a regex, wherever a part of the path begins with it."""
    part = re.compile(rf"(?:^|(?<=\.)){prefix}(?=.)", re.DOTALL)
    while (shorter := part.sub("", key)) != key:
        key = shorter
    return key
'''


@dataclass(frozen=True, slots=True)
class KeyFix(Fix):
    """A fix that renames keys and leaves the tensors unchanged."""

    @abstractmethod
    def new_keys(self, keys: Sequence[str], patience: Patience) -> list[str]:
        """The new name of each key, in order. Raises FixError."""

    def apply(self, state_dict: StateDict, context: Context) -> Changed:
        """The same tensors under new keys. Raises FixError if two keys would become one."""
        return renamed(state_dict, self.new_keys(list(state_dict), context.patience))


@dataclass(frozen=True, slots=True)
class StripPrefix(KeyFix):
    """Remove `prefix` from the keys that begin with it; `*` matches any text inside one part.

    `anywhere`: remove it wherever a part of the dotted path begins with it, until none is left, so
    that `encoder.module.conv.weight` becomes `encoder.conv.weight`.
    """

    json_name = "strip_prefix"
    keeps_names = True
    form = Form(
        "Strip a prefix",
        "Removes `module.` or the like from the keys; `*` matches any text inside one part.",
        (PREFIX, SwitchField("anywhere", "Anywhere in a key, not only at its start")),
    )

    prefix: str
    anywhere: bool = False

    def words(self) -> str:
        return f"Strip `{self.prefix}`" + (" anywhere" if self.anywhere else "")

    def new_keys(self, keys: Sequence[str], patience: Patience) -> list[str]:
        prefix = checked_text(self.prefix, "prefix")
        if self.anywhere:
            return _stripped_anywhere(prefix, keys, patience)
        start = re.compile(prefix_regex(prefix) + r"(?=.)", re.DOTALL)
        return [key[hit.end() :] if (hit := start.match(key)) else key for key in keys]

    def script(self) -> ScriptPart:
        regex = prefix_regex(self.prefix)
        if self.anywhere:
            line = renaming(f"strip_anywhere(key, {literal(regex)})")
            return ScriptPart((line,), (STRIP_ANYWHERE,))
        if "*" in self.prefix:
            start = literal(rf"^{regex}(?=.)")
            return ScriptPart((renaming(f're.sub({start}, "", key, flags=re.DOTALL)'),))
        return ScriptPart((renaming(f"key.removeprefix({literal(self.prefix)}) or key"),))


@dataclass(frozen=True, slots=True)
class AddPrefix(KeyFix):
    """Put `prefix` in front of every key."""

    json_name = "add_prefix"
    keeps_names = True
    form = Form("Add a prefix", "Puts text in front of every key.", (PREFIX,))

    prefix: str

    def words(self) -> str:
        return f"Add `{self.prefix}`"

    def new_keys(self, keys: Sequence[str], patience: Patience) -> list[str]:
        prefix = checked_text(self.prefix, "prefix")
        return [prefix + key for key in keys]

    def script(self) -> ScriptPart:
        return ScriptPart((renaming(f"{literal(self.prefix)} + key"),))


@dataclass(frozen=True, slots=True)
class Rename(KeyFix):
    """Replace what the regex matches in a key, as `re.sub` does."""

    json_name = "rename"
    form = Form(
        "Rename by regex",
        r"Groups in the pattern are `\1`, `\2` in the new name.",
        (PATTERN, TextField("replacement", "New name", required=False)),
    )

    pattern: str
    replacement: str

    def words(self) -> str:
        if not self.replacement:
            return f"Cut out `{self.pattern}`"
        return f"Rename `{self.pattern}` to `{self.replacement}`"

    def new_keys(self, keys: Sequence[str], patience: Patience) -> list[str]:
        pattern = checked_text(self.pattern, "pattern")
        replacement = checked_text(self.replacement, "replacement", required=False)
        try:
            return replaced(pattern, replacement, keys, patience)
        except ReplacementError as error:
            raise FixError(
                f"The new name `{replacement}` cannot be used: {error}.",
                r"Groups of the pattern are `\1`, `\2` and so on, a backslash is `\\`.",
            ) from error
        except PatternError as error:
            raise unusable(pattern, error) from error

    def script(self) -> ScriptPart:
        pattern, replacement = literal(self.pattern), literal(self.replacement)
        return ScriptPart((renaming(f"re.sub({pattern}, {replacement}, key)"),))


@dataclass(frozen=True, slots=True)
class RenameTable(KeyFix):
    """Rename keys one by one: `table` contains pairs (old, new) of whole keys.

    Other keys stay as they are; a pair whose old key is absent is ignored.
    """

    json_name = "rename_table"
    form = Form(
        "Rename by a table",
        "Renames keys one by one; rows without a new name are ignored.",
        (TableField("table"),),
    )

    table: tuple[tuple[str, str], ...]

    def words(self) -> str:
        return f"Rename {counted(len(self.table), 'key')} by a table"

    def new_keys(self, keys: Sequence[str], patience: Patience) -> list[str]:
        table = dict(self.table)
        return [table.get(key, key) for key in keys]

    def script(self) -> ScriptPart:
        names = (f"    {literal(old)}: {literal(new)}," for old, new in self.table)
        return ScriptPart(("names = {", *names, "}", renaming("names.get(key, key)")))


def renamed(state_dict: StateDict, new_names: Sequence[str]) -> Changed:
    """The state_dict with its keys renamed to `new_names`, in order.

    Raises FixError if two keys would become one, or a key would be empty or too long.
    """
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    characters = sum(map(len, new_names))
    if characters > max(MAX_CHARACTERS, sum(map(len, state_dict))):
        raise FixError(
            f"All keys together would have {count(characters)} characters.",
            f"{count(MAX_CHARACTERS)} is the most: write the fix so that it adds less.",
        )
    for key, new in zip(state_dict, new_names, strict=True):
        if not new and key:
            raise FixError(f"Nothing would be left of the key `{key}`.", "Leave a part of it.")
        if len(new) > max(MAX_KEY, len(key)):
            raise FixError(
                f"The key `{key[:80]}` would have {count(len(new))} characters.",
                f"{count(MAX_KEY)} is the most: write the fix so that it does not repeat the key.",
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
    """A prefix as a regex, in which `*` matches any text inside one part of a path.

    In the last part, which no dot ends, each `*` matches as little as it can.
    """
    # Atomic groups, as in `fnmatch.translate`: without backtracking, matching takes time in
    # proportion to a key's length, however many stars there are.
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
            f"Stripping `{prefix}` takes too long on the keys of this file.",
            "Strip it only from the beginning of the keys.",
        ) from error
    return stripped
