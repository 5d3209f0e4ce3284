"""Tries fixes: the state_dict after them, and how much of a signature it then matches."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate

from core.architectures import Signature
from core.checkpoint import StateDict
from core.errors import FixError
from core.fit.key_match import match
from core.fixes import (
    Drop,
    Fix,
    Keep,
    KeyFix,
    Recipe,
    Rename,
    checked_text,
    kept,
    renamed,
)
from core.keys import Patience
from core.recipe import apply_recipe


@dataclass(frozen=True, slots=True)
class Score:
    """How well a state_dict matches a signature.

    `keys` and `parameters` are the shares, 0 to 1, of the signature's keys and parameters that
    match; `unexpected` counts the state_dict's keys that the signature does not have.
    """

    keys: float
    parameters: float
    unexpected: int

    @property
    def coverage(self) -> float:
        """The sum of both shares, 0 to 2."""
        return self.keys + self.parameters


def score(state_dict: StateDict, signature: Signature) -> Score:
    """How well the state_dict matches as it is."""
    now = match(state_dict, signature)
    return Score(now.coverage_keys, now.coverage_parameters, len(now.unexpected_keys))


def after(fixes: Sequence[Fix], state_dict: StateDict, signature: Signature) -> StateDict | None:
    """The state_dict after the fixes; None if one of them cannot be applied."""
    # `apply_recipe` guards a person's regexes, which may never end, with a process. Proposals make
    # their own patterns, which end soon, and try many: these run here.
    try:
        for fix in fixes:
            match fix:
                case Keep() | Drop():
                    state_dict, _ = kept(state_dict, frozenset(_staying(fix, list(state_dict))))
                case KeyFix():
                    state_dict, _ = renamed(state_dict, _renamed(fix, list(state_dict)))
                case _:
                    recipe = Recipe.of((fix,))
                    state_dict = apply_recipe(recipe, state_dict, signature).state_dict
    except FixError:
        return None
    return state_dict


def names_after(fixes: Sequence[Fix], keys: Collection[str]) -> Mapping[str, str] | None:
    """The keys that stay after the fixes, each with its new name.

    None if a fix changes more than keys, if two keys would become one, or if one would be empty.
    """
    names = {key: key for key in keys}
    try:
        for fix in fixes:
            if isinstance(fix, Keep | Drop):
                staying = set(_staying(fix, list(names.values())))
                names = {key: name for key, name in names.items() if name in staying}
            elif not isinstance(fix, KeyFix):
                return None
            else:
                new = _renamed(fix, list(names.values()))
                if len(set(new)) < len(new) or not all(new):
                    return None
                names = dict(zip(names, new, strict=True))
    except FixError:
        return None
    return names


def matched_after(
    names: Mapping[str, str], state_dict: StateDict, signature: Signature
) -> frozenset[str]:
    """The file's keys whose new names are in the signature with the same shape."""
    matched = []
    for key, name in names.items():
        spec = signature.get(name)
        if spec is not None and spec.shape == state_dict[key].shape:
            matched.append(key)
    return frozenset(matched)


def _staying(fix: Keep | Drop, keys: Sequence[str]) -> list[str]:
    checked_text(fix.pattern, "pattern")
    pattern = fix.pattern if fix.syntax == "regex" else rf"\A{translate(fix.pattern)}"
    search = re.compile(pattern).search
    return [key for key in keys if (search(key) is not None) == isinstance(fix, Keep)]


def _renamed(fix: KeyFix, keys: Sequence[str]) -> list[str]:
    if isinstance(fix, Rename):
        checked_text(fix.pattern, "pattern")
        checked_text(fix.replacement, "replacement", required=False)
        return [re.sub(fix.pattern, fix.replacement, key) for key in keys]
    return fix.new_keys(keys, Patience())
