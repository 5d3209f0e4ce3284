"""A person's decisions about the pairing: one at a time, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from core.compare.comparison import Choices

MAX_CHOICES = 10_000
"""The most pairs in a list that is read from JSON."""


def accept(choices: Choices, key_a: str, key_b: str) -> Choices:
    """Pair the two; each loses the counterpart that it was given by hand before."""
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
        accepted=tuple(other for other in choices.accepted if other != pair),
        rejected=(*(other for other in choices.rejected if other != pair), pair),
    )


def forget(choices: Choices, key_a: str, key_b: str) -> Choices:
    """Remove any decision about the two."""
    pair = (key_a, key_b)
    return replace(
        choices,
        accepted=tuple(other for other in choices.accepted if other != pair),
        rejected=tuple(other for other in choices.rejected if other != pair),
    )


def swapped(choices: Choices) -> Choices:
    """The same decisions after A and B are exchanged."""
    return Choices(
        tuple((b, a) for a, b in choices.accepted),
        tuple((b, a) for a, b in choices.rejected),
        choices.strip[::-1] if choices.strip else None,
    )


def choices_to_json(choices: Choices) -> Mapping[str, object]:
    """The choices as JSON, without the fields that are empty."""
    fields: dict[str, object] = {}
    if choices.accepted:
        fields["accepted"] = [list(pair) for pair in choices.accepted]
    if choices.rejected:
        fields["rejected"] = [list(pair) for pair in choices.rejected]
    if choices.strip is not None:
        fields["strip"] = list(choices.strip)
    return fields


def choices_from_json(value: object) -> Choices:
    """The choices from JSON. Raises ValueError for anything that `choices_to_json` cannot write."""
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
    return tuple(_pair(item) for item in value)


def _pair(value: object) -> tuple[str, str]:
    match value:
        case [str(a), str(b)]:
            return a, b
    raise ValueError("a pair is two texts")
