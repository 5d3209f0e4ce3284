"""Fixes of a state_dict's keys, shapes and dtypes: small frozen values, applied in an order."""

from __future__ import annotations

import re
import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from fnmatch import translate
from typing import Literal, TypeAlias, get_args

from core.checkpoint.entries import Cast, StateDict, TensorEntry
from core.errors import FixError
from core.patterns import (
    Patience,
    PatternError,
    ReplacementError,
    TooCostlyError,
    found_in,
    replaced,
)
from core.signature import Signature

Syntax: TypeAlias = Literal["glob", "regex"]
"""`glob`: `*`, `?` and `[…]` over the whole key, dots included; `regex`: found anywhere in it."""

CASTS = ("float32", "float16", "bfloat16", "float64")
"""The dtypes that CastDtype goes to, in torch's names."""

MAX_TEXT = 1_000
"""Characters in a prefix, a pattern or a replacement."""

MAX_KEY = 4_096
"""Characters that a fix may give a key."""

MAX_CHARACTERS = 32 << 20
"""Characters that a fix may give all keys together."""

MAX_STEPS = 100
"""Steps in a recipe that comes as JSON, for example in a link."""


@dataclass(frozen=True, slots=True)
class StripPrefix:
    """Take `prefix` off the keys that begin with it.

    `anywhere`: wherever it begins a part of the dotted path, until there is none left, so that
    `encoder.module.conv.weight` becomes `encoder.conv.weight`.
    """

    prefix: str
    anywhere: bool = False


@dataclass(frozen=True, slots=True)
class AddPrefix:
    """Put `prefix` in front of every key."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Drop every key that does not match."""

    pattern: str
    syntax: Syntax = "glob"


@dataclass(frozen=True, slots=True)
class Drop:
    """Drop every key that matches."""

    pattern: str
    syntax: Syntax = "glob"


@dataclass(frozen=True, slots=True)
class Rename:
    """Replace what the regex finds in a key, as `re.sub` does."""

    pattern: str
    replacement: str


@dataclass(frozen=True, slots=True)
class DropMismatched:
    """Drop the tensors whose shape is not the one that the architecture wants."""


@dataclass(frozen=True, slots=True)
class CastDtype:
    """Give floating-point tensors another dtype, when they are read."""

    dtype: str


Fix: TypeAlias = StripPrefix | AddPrefix | Keep | Drop | Rename | DropMismatched | CastDtype


@dataclass(frozen=True, slots=True)
class Step:
    """A fix in a recipe, switched on or off."""

    fix: Fix
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """Fixes in their order; each works on what the ones before it made."""

    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Effect:
    """What a step did: tensors that got another key or dtype, tensors that went away."""

    changed: int
    dropped: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What a recipe makes of a state_dict, with one Effect for each of its steps."""

    state_dict: StateDict
    effects: tuple[Effect, ...]


def apply_recipe(
    recipe: Recipe,
    state_dict: StateDict,
    signature: Signature | None = None,
    patience: Patience | None = None,
) -> Applied:
    """Apply the steps that are switched on; no tensor is read, and the input stays as it is.

    Every entry keeps the file's key as its `origin`. Raises FixError where two keys would
    become one, a pattern cannot be used, or DropMismatched has no signature to go by; also where
    the patterns take longer than `patience`, all of them together.
    """
    effects = []
    patience = patience or Patience()
    for step in recipe.steps:
        if step.enabled:
            state_dict, effect = _apply(step.fix, state_dict, signature, patience)
        else:
            effect = Effect(0, 0, "Switched off.")
        effects.append(effect)
    return Applied(state_dict, tuple(effects))


def new_keys(
    fix: StripPrefix | AddPrefix | Rename, keys: Sequence[str], patience: Patience | None = None
) -> list[str]:
    """What the fix makes of each key, in the time that is left. Raises FixError."""
    patience = patience or Patience()
    if isinstance(fix, Rename):
        return _substituted(fix, keys, patience)
    prefix = _text(fix.prefix, "prefix")
    if isinstance(fix, AddPrefix):
        return [prefix + key for key in keys]
    if fix.anywhere:
        return _stripped_anywhere(prefix, keys, patience)
    return [key[len(prefix) :] if key != prefix and key.startswith(prefix) else key for key in keys]


def describe(fix: Fix) -> str:
    """The fix in a few words that begin with a verb, with keys in backticks."""
    match fix:
        case StripPrefix(prefix, anywhere):
            return f"Strip `{prefix}`" + (" wherever it stands" if anywhere else "")
        case AddPrefix(prefix):
            return f"Add `{prefix}`"
        case Keep(pattern, syntax):
            return f"Keep only {_pattern_words(pattern, syntax)}"
        case Drop(pattern, syntax):
            return f"Drop {_pattern_words(pattern, syntax)}"
        case Rename(pattern, ""):
            return f"Cut out `{pattern}`"
        case Rename(pattern, replacement):
            return f"Rename `{pattern}` to `{replacement}`"
        case DropMismatched():
            return "Drop what has another shape"
        case CastDtype(dtype):
            return f"Cast to {dtype}"


def recipe_to_json(recipe: Recipe) -> list[dict[str, str | bool]]:
    """A list of steps as plain dicts, fields at their default left out."""
    return [_step_to_json(step) for step in recipe.steps]


def recipe_from_json(value: object) -> Recipe:
    """The recipe that `recipe_to_json` wrote. Raises FixError where it is not of that form.

    Patterns are tried only when the recipe is applied, so that a bad one can be shown and mended.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_STEPS:
        raise _malformed(f"it is not a list of at most {MAX_STEPS} steps")
    return Recipe(tuple(_step_from_json(step) for step in value))


def _apply(
    fix: Fix, state_dict: StateDict, signature: Signature | None, patience: Patience
) -> tuple[StateDict, Effect]:
    match fix:
        case StripPrefix() | AddPrefix() | Rename():
            return _renamed(state_dict, new_keys(fix, list(state_dict), patience))
        case Keep():
            return _kept(state_dict, _matching(fix, state_dict, patience))
        case Drop():
            return _kept(state_dict, state_dict.keys() - _matching(fix, state_dict, patience))
        case DropMismatched():
            return _of_shapes(state_dict, signature)
        case CastDtype(dtype):
            return _cast(state_dict, dtype)


def _renamed(state_dict: StateDict, new_names: Sequence[str]) -> tuple[StateDict, Effect]:
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
    entries = [
        entry if names[key] == key else _with_key(entry, names[key])
        for key, entry in state_dict.items()
    ]
    effect = Effect(changed, 0, _sentence(changed, "renamed"))
    return _rebuilt(state_dict, entries, names), effect


def _with_key(entry: TensorEntry, key: str) -> TensorEntry:
    return replace(entry, key=key, origin=entry.origin or entry.key)


def _kept(state_dict: StateDict, keys: Container[str]) -> tuple[StateDict, Effect]:
    entries = [entry for key, entry in state_dict.items() if key in keys]
    dropped = len(state_dict) - len(entries)
    names = {entry.key: entry.key for entry in entries}
    return _rebuilt(state_dict, entries, names), Effect(0, dropped, _sentence(dropped, "dropped"))


def _of_shapes(state_dict: StateDict, signature: Signature | None) -> tuple[StateDict, Effect]:
    if signature is None:
        raise FixError(
            "Which shapes are wanted is not known without an architecture.",
            "Choose an architecture, or switch this step off.",
        )
    wanted = {key: spec.shape for key, spec in signature.items()}
    fitting = {
        key for key, entry in state_dict.items() if wanted.get(key, entry.shape) == entry.shape
    }
    return _kept(state_dict, fitting)


def _cast(state_dict: StateDict, dtype: str) -> tuple[StateDict, Effect]:
    if dtype not in CASTS:
        raise FixError(f"Tensors cannot be cast to `{dtype}`.", f"Use {', '.join(CASTS)}.")
    entries = [_with_dtype(entry, dtype) for entry in state_dict.values()]
    changed = sum(entry.dtype != state_dict[entry.key].dtype for entry in entries)
    effect = Effect(changed, 0, _sentence(changed, f"cast to {dtype}", "tensor"))
    return StateDict(entries, state_dict.path, state_dict.versions), effect


def _with_dtype(entry: TensorEntry, dtype: str) -> TensorEntry:
    if entry.dtype == dtype or not entry.dtype.startswith(("float", "bfloat")):
        return entry
    cast = Cast(entry.dtype, dtype)
    return replace(entry, dtype=dtype, transforms=(*entry.transforms, cast))


def _rebuilt(
    state_dict: StateDict, entries: Sequence[TensorEntry], names: Mapping[str, str]
) -> StateDict:
    """The entries with the versions of the modules that they now stand in.

    A module without any tensor has no version that torch would look at, so it is left out
    once a key changes.
    """
    old = state_dict.versions
    if not old or (len(names) == len(state_dict) and all(a == b for a, b in names.items())):
        return StateDict(entries, state_dict.path, old)
    versions: dict[str, int] = {}
    for before, after in names.items():
        source, target = _parent(before), _parent(after)
        while True:
            if source in old:
                versions.setdefault(target, old[source])
            if not (source and target and _leaf(source) == _leaf(target)):
                break
            source, target = _parent(source), _parent(target)
    return StateDict(entries, state_dict.path, versions)


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]


def _stripped_anywhere(prefix: str, keys: Sequence[str], patience: Patience) -> list[str]:
    at_a_part = re.compile(rf"(?:^|(?<=\.)){re.escape(prefix)}(?=.)", re.DOTALL)
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
    pattern = _text(fix.pattern, "pattern")
    replacement = _text(fix.replacement, "replacement", required=False)
    try:
        return replaced(pattern, replacement, keys, patience)
    except ReplacementError as error:
        raise FixError(
            f"The new name `{replacement}` cannot be used: {error}.",
            r"Groups of the pattern are `\1`, `\2` and so on, a backslash is `\\`.",
        ) from error
    except PatternError as error:
        raise _unusable(pattern, error) from error


def _matching(fix: Keep | Drop, state_dict: StateDict, patience: Patience) -> frozenset[str]:
    pattern = _text(fix.pattern, "pattern")
    regular = pattern if fix.syntax == "regex" else rf"\A{translate(pattern)}"
    try:
        return found_in(regular, list(state_dict), patience)
    except PatternError as error:
        raise _unusable(pattern, error) from error


def _unusable(pattern: str, error: PatternError) -> FixError:
    if isinstance(error, TooCostlyError):
        return FixError(
            f"The pattern `{pattern}` takes too long, or too much memory, on this file's keys.",
            "Write it without a repeat inside a repeat, such as `(a+)+`.",
        )
    return FixError(
        f"The pattern `{pattern}` cannot be used: {error}.",
        r"A dot that is meant as a dot is written `\.` in a regex.",
    )


def _text(text: str, name: str, required: bool = True) -> str:
    if required and not text:
        raise FixError(f"The {name} is empty.", f"Write a {name}, or remove the step.")
    if len(text) > MAX_TEXT:
        raise FixError(
            f"The {name} is {len(text):,} characters long.", f"{MAX_TEXT:,} is the most."
        )
    return text


def _pattern_words(pattern: str, syntax: Syntax) -> str:
    return f"`{pattern}`" if syntax == "glob" else f"keys with the regex `{pattern}`"


def _sentence(number: int, done: str, noun: str = "key") -> str:
    if not number:
        return f"No {noun} {done}."
    count = f"{number:,}".replace(",", "\u2009")
    return f"{count} {noun}{'' if number == 1 else 's'} {done}."


_NAMES: Mapping[str, type[Fix]] = {
    "strip_prefix": StripPrefix,
    "add_prefix": AddPrefix,
    "keep": Keep,
    "drop": Drop,
    "rename": Rename,
    "drop_mismatched": DropMismatched,
    "cast_dtype": CastDtype,
}


def _step_to_json(step: Step) -> dict[str, str | bool]:
    name = next(name for name, kind in _NAMES.items() if type(step.fix) is kind)
    words: dict[str, str | bool] = {"fix": name}
    for field in fields(step.fix):
        value = getattr(step.fix, field.name)
        if value != field.default:
            words[field.name] = value
    if not step.enabled:
        words["enabled"] = False
    return words


def _step_from_json(value: object) -> Step:
    name = value.get("fix") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(name, str) or name not in _NAMES:
        raise _malformed(f"a step has no `fix` out of {', '.join(_NAMES)}")
    kind = _NAMES[name]
    known = {item.name: item for item in fields(kind)}
    given = {field: item for field, item in value.items() if field not in ("fix", "enabled")}
    enabled = value.get("enabled", True)
    needed = {item.name for item in known.values() if item.default is MISSING}
    if not needed <= given.keys() <= known.keys():
        raise _malformed(f"`{name}` takes {', '.join(known) or 'no fields'}")
    for field, item in (*given.items(), ("enabled", enabled)):
        if not isinstance(item, bool if field in ("anywhere", "enabled") else str):
            raise _malformed(f"`{field}` has a value of the wrong kind")
    if given.get("syntax", "glob") not in get_args(Syntax):
        raise _malformed("`syntax` is neither `glob` nor `regex`")
    return Step(kind(**given), enabled)


def _malformed(what: str) -> FixError:
    return FixError(f"This is not a recipe: {what}.", "Make the recipe anew on the Fit page.")
