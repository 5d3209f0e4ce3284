"""Long work in a thread of its own: progress that a page can read, a cancel that works at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Cancelled(Exception):
    """The work was asked to stop; whatever it finished before is kept by whoever asked."""


class Progress:
    """What a worker tells about itself: `done` of `total` units, and what it is at."""

    def __init__(self) -> None:
        self.done = 0
        self.total = 0
        self.what = ""
        self._cancel = threading.Event()

    def report(self, done: int, total: int, what: str = "") -> None:
        """Tell how far the work is. Raises Cancelled once somebody has asked it to stop."""
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
        """From 0 to 1; 0 while the total is unknown."""
        return min(1.0, self.done / self.total) if self.total else 0.0


class Job(Generic[T]):
    """One piece of work, under way or ended."""

    def __init__(self, pool: ThreadPoolExecutor, work: Callable[[Progress], T]) -> None:
        self.progress = Progress()
        self.started = time.monotonic()
        self._future: Future[T] = pool.submit(work, self.progress)

    @property
    def running(self) -> bool:
        """Whether the work goes on still."""
        return not self._future.done()

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the pace so far; None before there is one."""
        fraction = self.progress.fraction
        if fraction == 0:
            return None
        return (time.monotonic() - self.started) * (1 - fraction) / fraction

    def cancel(self) -> None:
        """Ask the work to stop; `result` then raises Cancelled."""
        self.progress.cancel()

    def result(self) -> T:
        """What the work returned, waiting for it; raises what it raised."""
        return self._future.result()


class Jobs:
    """The pool that a server's long work shares."""

    def __init__(self, workers: int = 4) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="loupe-job")

    def start(self, work: Callable[[Progress], T]) -> Job[T]:
        """Start `work(progress)` in a thread."""
        return Job(self._pool, work)
