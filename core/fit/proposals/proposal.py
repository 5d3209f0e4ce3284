"""The words of proposals: an idea, and what comes of it when it is tried."""

from __future__ import annotations

from dataclasses import dataclass

from core.fixes import Fix
from core.recipe import describe


@dataclass(frozen=True, slots=True)
class Idea:
    """Fixes that may help together, and a sentence that says why they are thought of.

    `aligned`: they come of finding each tensor's place by all that is known of it, and `sure`, 0 to
    1, is how confident that is. `known`: the names themselves say what was done to them, so that a
    small gain is no accident.
    """

    fixes: tuple[Fix, ...]
    why: str
    aligned: bool = False
    known: bool = False
    sure: float = 1.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """Fixes to be taken together, with the keys that match before and after them, out of those
    that are wanted then.

    `coverage_before` and `coverage_after` are the shares, 0 to 1, of the network's parameters.
    `sentence` says what is done and gained, `why` what in the file asks for it.
    """

    fixes: tuple[Fix, ...]
    before: int
    after: int
    total: int
    sentence: str
    why: str = ""
    coverage_before: float = 0.0
    coverage_after: float = 0.0

    @property
    def fix(self) -> Fix:
        """The first of its fixes, which for most proposals is the only one."""
        return self.fixes[0]

    @property
    def title(self) -> str:
        """What it does, in a few words that begin with a verb, keys in backticks."""
        return title_of(self.fixes)


def title_of(fixes: tuple[Fix, ...]) -> str:
    """Fixes in a few words: each one after the other, or how many they are."""
    first, *others = (describe(fix) for fix in fixes)
    return "; then ".join((first, *(f"{words[0].lower()}{words[1:]}" for words in others)))


def thin(number: int) -> str:
    """A number with thin spaces between its thousands."""
    return f"{number:,}".replace(",", "\u2009")


def counted(number: int, noun: str) -> str:
    """A number of things: `1 key`, `320 keys`."""
    return f"{thin(number)} {noun}{'' if number == 1 else 's'}"


def share(part: int, whole: int, noun: str) -> str:
    """How many of all: `All 320 keys`, `12 of 320 keys`."""
    if part == whole:
        return f"All {counted(whole, noun)}" if whole > 1 else f"The only {noun}"
    return f"{thin(part)} of {counted(whole, noun)}"


def listed(keys: list[str], most: int = 3) -> str:
    """A few keys in backticks, and how many more there are."""
    told = ", ".join(f"`{key}`" for key in keys[:most])
    return told + (f" and {thin(len(keys) - most)} more" if len(keys) > most else "")
