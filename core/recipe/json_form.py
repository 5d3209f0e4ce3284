"""Writes a recipe as JSON, and reads it from JSON that may come from anybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from core.errors import FixError, printable
from core.fixes import KINDS, Fix, Recipe, Step
from core.wording import count

Words = dict[str, Any]
"""A step as JSON: texts, numbers, booleans, lists, and an object for a table."""

NAMES: Mapping[str, type[Fix]] = {kind.json_name: kind for kind in KINDS}
"""The kinds of fixes by their names in JSON."""

MAX_STEPS = 100
"""The most steps of a recipe in JSON, for example in a link."""

MAX_ITEMS = 100_000
"""The most items of a list or a table in JSON."""

MAX_SHOWN = 40
"""The most characters of an unknown fix's name in an error message."""

MAX_NUMBER = 1 << 53
"""The largest number in JSON: a float represents every integer up to it exactly."""

KIND_WORDS: Mapping[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
"""The type of a field that is neither a choice nor a list, in words."""


def recipe_to_json(recipe: Recipe) -> list[Words]:
    """The steps as a list of plain dicts; fields at their default are left out."""
    return [_step_to_json(step) for step in recipe.steps]


def recipe_from_json(value: object) -> Recipe:
    """Read what `recipe_to_json` wrote. Raises FixError if the value does not have that form.

    Patterns are checked only when the recipe is applied, so that a bad one can be shown and
    corrected.
    """
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > MAX_STEPS:
        raise _malformed(f"it is not a list of at most {MAX_STEPS} steps")
    steps = []
    for number, step in enumerate(value, 1):
        try:
            steps.append(_step_from_json(step))
        except ValueError as error:
            raise _malformed(f"in step {count(number)}, {error}") from error
    return Recipe(tuple(steps))


def _step_to_json(step: Step) -> Words:
    words: Words = {"fix": step.fix.json_name}
    for field in fields(step.fix):
        value = getattr(step.fix, field.name)
        if value != field.default:
            words[field.name] = _to_json(value, _kinds(type(step.fix))[field.name])
    if not step.enabled:
        words["enabled"] = False
    return words


def _to_json(value: object, kind: Any) -> object:
    if not isinstance(value, tuple):
        return value
    return dict(value) if _is_table(kind) else list(value)


def _is_table(kind: Any) -> bool:
    return get_origin(get_args(kind)[0]) is tuple


def _step_from_json(value: object) -> Step:
    """Read one step. Raises ValueError that says what is wrong."""
    if not isinstance(value, Mapping):
        raise ValueError("there is no object with the field `fix`")
    if "fix" not in value:
        raise ValueError("the field `fix` is missing")
    name = _read("fix", value["fix"], str)
    if name not in NAMES:
        known = ", ".join(NAMES)
        raise ValueError(f"`{printable(name[:MAX_SHOWN])}` is not a fix: the fixes are {known}")
    kind = NAMES[name]
    kinds = _kinds(kind)
    needed = {item.name for item in fields(kind) if item.default is MISSING}
    given = {field: item for field, item in value.items() if field not in ("fix", "enabled")}
    if not needed <= given.keys() <= kinds.keys():
        raise ValueError(f"`{name}` takes {', '.join(kinds) or 'no fields'}")
    enabled = _read("enabled", value.get("enabled", True), bool)
    fix = kind(**{field: _read(field, item, kinds[field]) for field, item in given.items()})
    return Step(fix, enabled)


def _kinds(fix: type[Fix]) -> Mapping[str, Any]:
    hints = get_type_hints(fix)
    return {field.name: hints[field.name] for field in fields(fix)}


def _read(field: str, value: object, kind: Any) -> Any:
    """The value in the type of the field's annotation. Raises ValueError."""
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            choices = ", ".join(f"`{choice}`" for choice in get_args(kind))
            raise ValueError(f"`{field}` is not one of {choices}")
        return value
    if get_origin(kind) is tuple:
        return _read_items(field, value, kind)
    # In Python, True is a whole number too.
    right = isinstance(value, int | float if kind is float else kind)
    if not right or isinstance(value, bool) is not (kind is bool):
        raise ValueError(f"`{field}` is not {KIND_WORDS[kind]}")
    if isinstance(value, int | float) and not abs(value) <= MAX_NUMBER:  # nor a NaN
        raise ValueError(f"`{field}` is not a number of at most {count(MAX_NUMBER)}")
    return kind(value)


def _read_items(field: str, value: object, kind: Any) -> tuple[Any, ...]:
    table = _is_table(kind)
    if table and isinstance(value, Mapping) and len(value) <= MAX_ITEMS:
        return tuple((_read(field, old, str), _read(field, new, str)) for old, new in value.items())
    if table or not isinstance(value, list) or len(value) > MAX_ITEMS:
        form = "an object" if table else "a list"
        raise ValueError(f"`{field}` is not {form} of at most {count(MAX_ITEMS)} items")
    return tuple(_read(field, item, get_args(kind)[0]) for item in value)


def _malformed(what: str) -> FixError:
    return FixError(f"This is not a recipe: {what}.", "Make the recipe again on the Fit page.")
