"""Regular expressions that a person gives, run where none of them can hold the server.

They come in links as well, and a short one can keep Python's `re` busy for hours, or make it fill
the memory. So each is run by `re`, whose results are those of the code that a recipe is exported
as, in a short-lived process of its own (`pattern_process.py`) that may take only so much of either.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

SECONDS = 2.0
"""CPU time that all matching of one click may take together."""

MAX_WAIT = 20.0
"""Seconds after which a process is ended that a busy machine has not given that time."""

MAX_MEMORY = 512 << 20
"""Bytes of address space that a process may take."""

_PROCESS = Path(__file__).with_name("pattern_process.py")


class PatternError(Exception):
    """The pattern is wrong; its text says how."""


class ReplacementError(PatternError):
    """What the pattern shall be replaced by is wrong."""


class TooCostlyError(PatternError):
    """The pattern takes longer than anybody would wait, or more memory than there should be."""


class Patience:
    """The CPU time that is left for one click's patterns, in seconds."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.left = seconds

    def spend(self, seconds: float) -> None:
        """Take that much off. Raises TooCostlyError where nothing is left."""
        self.left -= seconds
        if self.left <= 0:
            raise TooCostlyError


def found_in(pattern: str, texts: Sequence[str], patience: Patience) -> frozenset[str]:
    """The texts in which `re.search` finds the pattern. Raises PatternError, TooCostlyError."""
    answer = _ask({"pattern": pattern, "texts": list(texts)}, patience)
    return frozenset(texts[index] for index in answer["found"])


def replaced(pattern: str, replacement: str, texts: Sequence[str], patience: Patience) -> list[str]:
    """What `re.sub` makes of each text.

    Raises PatternError, ReplacementError, TooCostlyError.
    """
    request = {"pattern": pattern, "replacement": replacement, "texts": list(texts)}
    changed = dict(_ask(request, patience)["changed"])
    return [changed.get(index, text) for index, text in enumerate(texts)]


class _Answer(TypedDict, total=False):
    """What the process writes, as its own docstring says."""

    found: list[int]
    changed: list[tuple[int, str]]
    pattern: str
    replacement: str
    seconds: float


def _ask(request: Mapping[str, object], patience: Patience) -> _Answer:
    patience.spend(0)
    limits = {"seconds": patience.left, "memory": MAX_MEMORY}
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-S", "-B", str(_PROCESS)],
            input=json.dumps({**request, **limits}).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=MAX_WAIT,
            check=True,
        )
    except subprocess.SubprocessError as error:
        patience.left = 0.0
        raise TooCostlyError from error
    answer: _Answer = json.loads(process.stdout)
    if "pattern" in answer:
        raise PatternError(answer["pattern"])
    if "replacement" in answer:
        raise ReplacementError(answer["replacement"])
    patience.left -= answer["seconds"]
    return answer
