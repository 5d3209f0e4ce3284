"""The wording that fixes share: of patterns, of effects, and of errors in a text."""

from __future__ import annotations

from core.errors import FixError
from core.fixes.base import MAX_TEXT, Syntax
from core.keys import PatternError, TooCostlyError
from core.wording import count, counted


def keys_words(pattern: str, syntax: Syntax) -> str:
    """A pattern in words: the glob in backticks, or `keys with the regex …`."""
    return f"`{pattern}`" if syntax == "glob" else f"keys with the regex `{pattern}`"


def where_words(pattern: str) -> str:
    """The pattern in backticks with a space after it; empty for `*`, which matches every key."""
    return "" if pattern == "*" else f"`{pattern}` "


def effect_sentence(number: int, done: str, noun: str = "key") -> str:
    """What was done to how many things: `3 keys dropped.`, or `No key dropped.`"""
    if not number:
        return f"No {noun} {done}."
    return f"{counted(number, noun)} {done}."


def left_alone(number: int, why: str) -> str:
    """A further sentence on tensors that a step left unchanged; empty if there are none."""
    return f" {counted(number, 'tensor')} unchanged: {why}." if number else ""


def checked_text(text: str, name: str, required: bool = True) -> str:
    """The text itself. Raises FixError if it is empty and `required`, or longer than MAX_TEXT."""
    if required and not text:
        raise FixError(f"The {name} is empty.", f"Write a {name}, or remove the step.")
    if len(text) > MAX_TEXT:
        raise FixError(
            f"The {name} is {count(len(text))} characters long.", f"{count(MAX_TEXT)} is the most."
        )
    return text


def unusable(pattern: str, error: PatternError) -> FixError:
    """The FixError for a pattern that cannot be used."""
    if isinstance(error, TooCostlyError):
        return FixError(
            f"The pattern `{pattern}` takes too long, or too much memory, on this file's keys.",
            "Write it without a repeat inside a repeat, such as `(a+)+`.",
        )
    return FixError(
        f"The pattern `{pattern}` cannot be used: {error}.",
        r"Write `\.` for a literal dot in a regex.",
    )
