"""What a person decides about the pairing: one decision at a time, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.compare.comparison import Choices

MAX_CHOICES = 10_000
"""Pairs that are read from JSON at most."""


def accept(choices: Choices, key_a: str, key_b: str) -> Choices:
    """Let the two stand in one row; what either stood beside by hand before, it leaves."""
    others = tuple(pair for pair in choices.accepted if pair[0] != key_a and pair[1] != key_b)
    return replace(
        choices,
        accepted=(*others, (key_a, key_b)),
        rejected=tuple(pair for pair in choices.rejected if pair != (key_a, key_b)),
    )


def reject(choices: Choices, key_a: str, key_b: str) -> Choices:
    """Keep the two apart."""
    pair = (key_a, key_b)
    return replace(
        choices,
        accepted=tuple(one for one in choices.accepted if one != pair),
        rejected=(*(one for one in choices.rejected if one != pair), pair),
    )


def forget(choices: Choices, key_a: str, key_b: str) -> Choices:
    """As if nobody had decided on the two."""
    pair = (key_a, key_b)
    return replace(
        choices,
        accepted=tuple(one for one in choices.accepted if one != pair),
        rejected=tuple(one for one in choices.rejected if one != pair),
    )


def swapped(choices: Choices) -> Choices:
    """The same decisions once A is B, and B is A."""
    return Choices(
        tuple((b, a) for a, b in choices.accepted),
        tuple((b, a) for a, b in choices.rejected),
        choices.strip[::-1] if choices.strip else None,
    )


def choices_to_json(choices: Choices) -> Mapping[str, object]:
    """What differs from no choices at all."""
    found: dict[str, object] = {}
    if choices.accepted:
        found["accepted"] = [list(pair) for pair in choices.accepted]
    if choices.rejected:
        found["rejected"] = [list(pair) for pair in choices.rejected]
    if choices.strip is not None:
        found["strip"] = list(choices.strip)
    return found


def choices_from_json(value: object) -> Choices:
    """The choices again; raises ValueError for what `choices_to_json` never wrote."""
    if not isinstance(value, Mapping) or value.keys() - {"accepted", "rejected", "strip"}:
        raise ValueError("choices are a mapping of accepted, rejected and strip")
    strip = value.get("strip")
    return Choices(
        _pairs(value.get("accepted", [])),
        _pairs(value.get("rejected", [])),
        None if strip is None else _pair(strip),
    )


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list) or len(value) > MAX_CHOICES:
        raise ValueError("a list of pairs was expected")
    return tuple(_pair(one) for one in value)


def _pair(value: object) -> tuple[str, str]:
    match value:
        case [str(a), str(b)]:
            return a, b
    raise ValueError("a pair is two texts")
