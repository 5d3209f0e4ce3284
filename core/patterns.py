"""Regular expressions that a person gives, run so that none of them can hold the server.

They come in links as well, and a short one can keep Python's `re` busy for hours. Each is checked
by `re`, whose language it is, and run by the `regex` package, which gives up in time and lets other
threads run meanwhile.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

import regex

SECONDS = 2.0
"""Time that all matching of one click may take together."""


class PatternError(Exception):
    """The pattern, or what it shall be replaced by, is wrong; its text says how."""


class OutOfTimeError(PatternError):
    """The pattern takes longer than anybody would wait."""


class Patience:
    """The time that is left for one click's patterns."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.left = seconds


class Pattern:
    """A regular expression in the language of Python's `re`, with bounded time."""

    def __init__(self, pattern: str, patience: Patience | None = None) -> None:
        """Raises PatternError where `re` would not take it."""
        try:
            meant = re.compile(pattern)
            self._compiled = regex.compile(_as_in_re(pattern), regex.VERSION0)
        except (re.error, regex.error, OverflowError, RecursionError) as error:
            raise PatternError(str(error)) from error
        self._groups = meant.groups
        self._names = meant.groupindex
        self._patience = patience or Patience()

    def found_in(self, text: str) -> bool:
        """Whether it matches anywhere in the text. Raises OutOfTimeError."""
        with _Spending(self._patience) as left:
            return self._compiled.search(text, timeout=left, concurrent=True) is not None

    def replacing(self, replacement: str) -> Callable[[str], str]:
        """What `re.sub` makes of a text. Raises PatternError, and the function OutOfTimeError."""
        try:
            _check_template(replacement, self._groups, self._names)
        except (re.error, IndexError) as error:
            raise PatternError(str(error)) from error

        def replaced(text: str) -> str:
            with _Spending(self._patience) as left:
                return self._compiled.sub(replacement, text, timeout=left, concurrent=True)

        return replaced


class _Spending:
    """Time taken out of a Patience."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    def __enter__(self) -> float:
        if self._patience.left <= 0:
            raise OutOfTimeError("it takes too long")
        self._start = time.monotonic()
        return self._patience.left

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._patience.left -= time.monotonic() - self._start
        if isinstance(error, TimeoutError):
            self._patience.left = 0.0
            raise OutOfTimeError("it takes too long") from error


_PARTS = re.compile(
    r"\\."  # an escape
    r"|(?P<open>\[\^?\]?)(?P<members>(?:\\.|[^\]\\])*)\]"  # a set of characters
    r"|(?P<brace>\{(?!(?:\d+(?:,\d*)?|,\d+)\}))",  # a brace that is no count
    re.DOTALL,
)


def _as_in_re(pattern: str) -> str:
    """The pattern with what only `regex` reads in a special way escaped: `{e<=1}`, `[[:alpha:]]`.

    `re` takes such braces and brackets for themselves.
    """

    def escaped(part: re.Match[str]) -> str:
        if part["brace"]:
            return r"\{"
        if part["open"]:
            members = re.sub(r"(\\.)|\[", lambda one: one[1] or r"\[", part["members"])
            return f"{part['open']}{members}]"
        return part[0]

    return _PARTS.sub(escaped, pattern)


def _check_template(replacement: str, groups: int, names: Mapping[str, int]) -> None:
    """Let `re` read the replacement, beside groups of the same numbers and names."""
    by_number = {number: name for name, number in names.items()}
    stand_in = "".join(
        f"(?P<{by_number[number]}>)" if number in by_number else "()"
        for number in range(1, groups + 1)
    )
    re.compile(stand_in + "x").sub(replacement, "")
