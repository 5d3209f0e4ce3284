"""Bounds on work that hold on a busy machine: calls are counted, not seconds."""

import cProfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS = 2.0
"""CPU time that a file may take. A busy machine makes it longer: so where a file takes more, it is
the calls that count."""

CALLS = 25_000_000
"""The calls that are made in that time."""

ENDLESS = 60.0
"""CPU time after which work counts as endless, whatever it calls."""


class Calls:
    """Counts the calls of functions, Python's and C's, that this thread makes within `with`."""

    made = 0

    def __enter__(self) -> "Calls":
        self._profile = cProfile.Profile()
        self._profile.enable()
        return self

    def __exit__(self, *_: object) -> None:
        self._profile.disable()
        self.made = sum(entry.callcount for entry in self._profile.getstats())


def too_many_calls(work: Callable[[], object]) -> bool:
    """Whether it makes more calls than a file may take."""
    with Calls() as calls:
        work()
    return calls.made > CALLS


@contextmanager
def at_most(calls: int) -> Iterator[None]:
    """Fail where what is done within `with` takes more calls than that."""
    started = time.thread_time()
    with Calls() as counted:
        yield
    assert counted.made <= calls
    assert time.thread_time() - started < ENDLESS
