"""Fixes that leave tensors out: by their keys, or by their shapes."""

from __future__ import annotations

import re
from collections.abc import Container
from fnmatch import translate

from core.checkpoint.entries import StateDict
from core.errors import FixError
from core.fixes.effects import checked_text, effect_sentence, unusable
from core.fixes.fix import Drop, Effect, Keep, Transpose
from core.fixes.rebuilt import rebuilt
from core.patterns import Patience, PatternError, found_in
from core.signature import Signature


def kept(state_dict: StateDict, keys: Container[str]) -> tuple[StateDict, Effect]:
    """The state_dict with these keys alone."""
    entries = [entry for key, entry in state_dict.items() if key in keys]
    dropped = len(state_dict) - len(entries)
    names = ((entry.key, entry.key) for entry in entries)
    return rebuilt(state_dict, entries, names), Effect(
        0, dropped, effect_sentence(dropped, "dropped")
    )


def of_shapes(state_dict: StateDict, signature: Signature | None) -> tuple[StateDict, Effect]:
    """What has the signature's shape, or is unknown to it. Raises FixError without a signature."""
    wanted = {key: spec.shape for key, spec in wanted_by(signature).items()}
    fitting = {
        key for key, entry in state_dict.items() if wanted.get(key, entry.shape) == entry.shape
    }
    return kept(state_dict, fitting)


def wanted_by(signature: Signature | None) -> Signature:
    """The signature itself. Raises FixError where there is none."""
    if signature is None:
        raise FixError(
            "Which shapes are wanted is not known without an architecture.",
            "Choose an architecture, or switch this step off.",
        )
    return signature


_PLAIN = re.compile(r"(\*?)((?:[^*?\[\]]|\[[*?\[]\])*)(\*?)", re.DOTALL)
"""A glob that is a text, with a star before or behind it at most: it needs no regex, and so no
process that guards one."""


def _found(text: str, key: str, before: str, after: str) -> bool:
    if before and after:
        return text in key
    if before:
        return key.endswith(text)
    return key.startswith(text) if after else key == text


def matching(
    fix: Keep | Drop | Transpose, state_dict: StateDict, patience: Patience
) -> frozenset[str]:
    """The keys that the fix's pattern finds. Raises FixError where it cannot be used."""
    pattern = checked_text(fix.pattern, "pattern")
    plain = _PLAIN.fullmatch(pattern) if fix.syntax == "glob" else None
    if plain is not None:
        before, text, after = plain[1], re.sub(r"\[(.)\]", r"\1", plain[2]), plain[3]
        return frozenset(key for key in state_dict if _found(text, key, before, after))
    regular = pattern if fix.syntax == "regex" else rf"\A{translate(pattern)}"
    try:
        return found_in(regular, list(state_dict), patience)
    except PatternError as error:
        raise unusable(pattern, error) from error


def globbed(pattern: str, state_dict: StateDict, patience: Patience) -> frozenset[str]:
    """The keys that a glob finds. Raises FixError where it cannot be used."""
    if pattern == "*":
        return frozenset(state_dict)
    return matching(Keep(pattern), state_dict, patience)
