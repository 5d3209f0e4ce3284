"""Progress of long work, and a way to stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

Report: TypeAlias = Callable[[int, int, str], None]
"""What long work calls with `done` of `total` units and what it is working on: a job's Progress,
or another function. What it raises, such as Cancelled, ends the work."""


class Cancelled(Exception):
    """The work was asked to stop. What it finished before that stays with the caller."""


class Progress:
    """The Report of a job: keeps `done` of `total` units, and `what` the work is at."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.what = ""
        self._cancel = threading.Event()

    def __call__(self, done: int, total: int, what: str = "") -> None:
        """Note how far the work is. Raises Cancelled once somebody has called `cancel`."""
        self.done, self.total, self.what = done, total, what
        if self._cancel.is_set():
            raise Cancelled

    def cancel(self) -> None:
        """Ask the work to stop at its next report."""
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody has asked the work to stop."""
        return self._cancel.is_set()

    @property
    def fraction(self) -> float:
        """The part that is done, from 0 to 1; 0 while the total is unknown."""
        return min(1.0, self.done / self.total) if self.total else 0.0


def ignore(done: int, total: int, what: str) -> None:
    """The Report of work that nobody watches."""
