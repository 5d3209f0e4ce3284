"""What fixes say of themselves: their words, their effects, and what is wrong with a text."""

from __future__ import annotations

from core.errors import FixError
from core.fixes.fix import MAX_TEXT, Syntax
from core.keys import PatternError, TooCostlyError


def keys_words(pattern: str, syntax: Syntax) -> str:
    """The keys that a pattern finds, such as `keys with the regex …`."""
    return f"`{pattern}`" if syntax == "glob" else f"keys with the regex `{pattern}`"


def where_words(pattern: str) -> str:
    """The pattern with a space behind it, or nothing for a glob that finds every key."""
    return "" if pattern == "*" else f"`{pattern}` "


def effect_sentence(number: int, done: str, noun: str = "key") -> str:
    """How many things were done, such as `3 keys dropped.`"""
    if not number:
        return f"No {noun} {done}."
    return f"{counted(number, noun)} {done}."


def left_alone(number: int, why: str) -> str:
    """A sentence more, on what a step did not touch; empty where there is nothing."""
    return f" {counted(number, 'tensor')} stayed: {why}." if number else ""


def counted(number: int, noun: str) -> str:
    """The number with its noun, such as `3 keys`."""
    plural = {"matrix": "matrices"}.get(noun, f"{noun}s")
    return f"{number:,} {noun if number == 1 else plural}".replace(",", "\u2009")


def checked_text(text: str, name: str, required: bool = True) -> str:
    """The text itself. Raises FixError where it is empty and `required`, or too long."""
    if required and not text:
        raise FixError(f"The {name} is empty.", f"Write a {name}, or remove the step.")
    if len(text) > MAX_TEXT:
        raise FixError(
            f"The {name} is {len(text):,} characters long.", f"{MAX_TEXT:,} is the most."
        )
    return text


def unusable(pattern: str, error: PatternError) -> FixError:
    """Why a pattern cannot be used, and how to write it."""
    if isinstance(error, TooCostlyError):
        return FixError(
            f"The pattern `{pattern}` takes too long, or too much memory, on this file's keys.",
            "Write it without a repeat inside a repeat, such as `(a+)+`.",
        )
    return FixError(
        f"The pattern `{pattern}` cannot be used: {error}.",
        r"A dot that is meant as a dot is written `\.` in a regex.",
    )
