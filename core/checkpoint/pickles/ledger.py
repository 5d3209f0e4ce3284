"""Keeps the names in all pickles that one opening reads, also if the reading ends in an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class Ledger:
    """The globals that the pickles of one checkpoint name.

    `read` are those in pickles that a loader of the file reads, `hidden` the others. `loose` counts
    the uses of a function in AS_DATA that are not those that its table describes.
    """

    read: dict[str, None] = field(default_factory=dict)
    hidden: dict[str, None] = field(default_factory=dict)
    loose: Counter[str] = field(default_factory=Counter)

    def add(self, other: Ledger) -> None:
        """Add the names of another ledger."""
        self.read.update(other.read)
        self.hidden.update(other.hidden)
        self.loose.update(other.loose)


_ledger: ContextVar[Ledger | None] = ContextVar("ledger", default=None)


@contextmanager
def kept_names() -> Iterator[Ledger]:
    """A context whose Ledger gets the names of all pickles that are read in it, in this thread."""
    ledger = Ledger()
    token = _ledger.set(ledger)
    try:
        yield ledger
    finally:
        _ledger.reset(token)


def current_ledger() -> Ledger:
    """The ledger of the innermost `kept_names`; outside of any, a new one."""
    return _ledger.get() or Ledger()
