"""Regular expressions from people, run where they cannot block the server.

They also come in links, and a short one can keep Python's `re` busy for hours or make it fill the
memory. So each runs in a short-lived process (`pattern_process.py`) with limits on time and memory.
That process uses `re` too, so that the results are those of the script that a recipe exports.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

SECONDS = 2.0
"""CPU time that all patterns of one click may take together."""

MAX_WAIT = 20.0
"""Seconds after which a process is ended that got too little CPU time on a busy machine."""

MAX_MEMORY = 512 << 20
"""Bytes of address space that the process may take."""

_PROCESS = Path(__file__).with_name("pattern_process.py")


class PatternError(Exception):
    """The pattern is invalid; `str(error)` says why."""


class ReplacementError(PatternError):
    """The replacement text is invalid; `str(error)` says why."""


class TooCostlyError(PatternError):
    """The pattern takes more time or memory than the limits allow."""


class Patience:
    """The CPU time that is left for one click's patterns, in seconds."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.left = seconds

    def spend(self, seconds: float) -> None:
        """Subtract that much. Raises TooCostlyError where nothing is left."""
        self.left -= seconds
        if self.left <= 0:
            raise TooCostlyError


def found_in(pattern: str, texts: Sequence[str], patience: Patience) -> frozenset[str]:
    """The texts that `re.search` matches. Raises PatternError and TooCostlyError."""
    answer = _ask({"pattern": pattern, "texts": list(texts)}, patience)
    return frozenset(texts[index] for index in answer["found"])


def replaced(pattern: str, replacement: str, texts: Sequence[str], patience: Patience) -> list[str]:
    """Each text after `re.sub`, in the given order.

    Raises PatternError, ReplacementError and TooCostlyError.
    """
    request = {"pattern": pattern, "replacement": replacement, "texts": list(texts)}
    changed = dict(_ask(request, patience)["changed"])
    return [changed.get(index, text) for index, text in enumerate(texts)]


class _Answer(TypedDict, total=False):
    """What the process writes; the docstring of `pattern_process` says when each is there."""

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
