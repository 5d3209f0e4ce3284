"""The names of a model's outputs, with who states them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labels:
    """One name for each output of a model, in order.

    `source` says in words where they come from. `guessed`: neither a person nor the file states
    that they belong to this model. `numbered`: they only number the outputs, as no names are known.
    """

    names: tuple[str, ...]
    source: str
    guessed: bool = False
    numbered: bool = False
