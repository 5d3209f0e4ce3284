"""An idea for a repair, the proposal that it becomes once it is tried, and their wording."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.fixes import Drop, Fix
from core.wording import count, counted, listed

MAX_WORDS = 300
"""The most characters of a Drop that are written out."""


MOST_NAMED = 2
"""The most fixes that a short title names."""


@dataclass(frozen=True, slots=True)
class Idea:
    """Fixes that may help together, and a sentence that says what in the file suggests them.

    `aligned`: they come from an alignment of the file's tensors with the model's, whose confidence
    is `sure`, 0 to 1. `unsure` are the file's keys for which another pair would be as likely.
    `known`: the names show what renamed them, as a wrapper's do, so that even a small gain is no
    accident.
    """

    fixes: tuple[Fix, ...]
    why: str
    aligned: bool = False
    known: bool = False
    sure: float = 1.0
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """How many keys of each state do not match once a proposal is applied."""

    mismatched: int = 0
    missing: int = 0
    unexpected: int = 0


@dataclass(frozen=True, slots=True)
class Proposal:
    """Fixes to apply together, and what they gain.

    `before` and `after` count the keys that match before and after the fixes, and `left` those that
    still do not; `total` counts the model's keys after them. `sentence` says what the fixes do and
    gain, `why` what in the file suggests them.
    """

    fixes: tuple[Fix, ...]
    before: int
    after: int
    total: int
    sentence: str
    why: str = ""
    left: Left = Left()

    @property
    def title(self) -> str:
        """What the fixes do, in a few words that begin with a verb, with keys in backticks."""
        return title_of(self.fixes)

    @property
    def short_title(self) -> str:
        """The title for a button or a card; of more than two fixes it has the number."""
        if len(self.fixes) > MOST_NAMED:
            return f"Best repair: {count(len(self.fixes))} steps"
        return self.title


def title_of(fixes: tuple[Fix, ...]) -> str:
    """The fixes in a few words each: `Strip `module.`; then drop `fc.*``."""
    first, *others = (
        words if len(words) <= MAX_WORDS else "Drop other keys" if isinstance(fix, Drop) else words
        for fix in fixes
        for words in [fix.words()]
    )
    return "; then ".join((first, *(f"{words[0].lower()}{words[1:]}" for words in others)))


def all_or_part(part: int, whole: int, noun: str) -> str:
    """A part of a number of things, to begin a sentence: `All 320 keys`, `12 of 320 keys`."""
    if part == whole:
        return f"All {counted(whole, noun)}" if whole > 1 else f"The only {noun}"
    return f"{count(part)} of {counted(whole, noun)}"


def listed_keys(keys: Iterable[str]) -> str:
    """A few keys in backticks, and how many more there are."""
    return listed([f"`{key}`" for key in keys])
