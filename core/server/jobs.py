"""Jobs: long work in threads, with progress that a page can read and a cancel that works at once.

The threads are shared fairly among the people who watch the jobs; a job that nobody watches any
more is cancelled.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from core.errors import JobError, LoupeError
from core.progress import Cancelled, Progress

T = TypeVar("T")

WORKERS = 4
"""Jobs of people that run at a time. The last free thread is for a person who has no running job,
so that one more person is served at once while three threads are busy."""

SHARE = 2
"""Jobs of one person that run at a time."""

ABSENCE = 60.0
"""Seconds without a connected watcher after which a job is cancelled."""

GRACE = 30.0
"""Seconds in which a cancelled job must come to its next report. After that it counts as ended,
although its thread goes on, for example in a forward pass that never returns."""


class Job(Generic[T]):
    """One piece of work that is waiting, running or ended. `Jobs` makes it.

    `watchers` are the sessions that want its result; the server's own work has none. `started` is
    when it began, or while it waits, when it was asked for, on the monotonic clock. `round` orders
    the waiting jobs (see Jobs).
    """

    def __init__(self, jobs: Jobs, work: Callable[[Progress], T], watchers: set[str]) -> None:
        self.progress = Progress()
        self.watchers = watchers
        self.started = time.monotonic()
        self.unwatched_since: float | None = None
        self.cancelled_at: float | None = None
        self.round = 0
        self._jobs = jobs
        self._work: Callable[[Progress], T] | None = work
        self._ended = threading.Event()
        self._ending = threading.Lock()
        self._result: T | None = None
        self._error: BaseException | None = None

    @property
    def unfinished(self) -> bool:
        """Whether the work is waiting or running."""
        return not self._ended.is_set()

    @property
    def before(self) -> int | None:
        """The number of waiting jobs before this one at present; None once it has started."""
        return self._jobs.before(self)

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the progress so far; None before the first progress."""
        fraction = self.progress.fraction
        if fraction == 0:
            return None
        return (time.monotonic() - self.started) * (1 - fraction) / fraction

    def cancel(self) -> None:
        """Ask the work to stop, even if others watch it; `result` then raises Cancelled."""
        self._jobs.cancel(self)

    def leave(self, watcher: str) -> None:
        """Remove a watcher; the job is cancelled if it has no other."""
        self._jobs.leave(self, watcher)

    def wait(self, seconds: float) -> None:
        """Wait for the work to end, but no longer than so many seconds."""
        self._ended.wait(seconds)

    def result(self) -> T:
        """Wait for the work to end, and return its result.

        Raises Cancelled, the work's own LoupeError, or JobError for any other error of the work.
        """
        self._ended.wait()
        if self._error is not None:
            # Each raise adds frames to the error's traceback, and frames keep their locals alive.
            raise self._error.with_traceback(None)
        result: T = self._result  # type: ignore[assignment]
        return result

    def run(self) -> None:
        """Do the work in this thread; never raises."""
        work, self.started = self._work, time.monotonic()
        try:
            # `_end` forgets the work, if it was given up before this thread began.
            if work is None or self.progress.cancelled:
                raise Cancelled
            self._end(None, work(self.progress))
        except BaseException as error:  # other people's code may raise anything; only this job ends
            self._end(_error_for_page(error))

    def give_up(self, error: BaseException) -> None:
        """End the job with `error`, even if its thread is still running."""
        self._end(_error_for_page(error))

    def _end(self, error: BaseException | None, result: T | None = None) -> None:
        with self._ending:
            if not self._ended.is_set():
                self._error, self._result = error, result
                # The closure may contain large objects, and an ended job is kept for its result.
                self._work = None
                self._ended.set()


def _error_for_page(error: BaseException) -> BaseException:
    """The error that a page gets from an ended job; unforeseen ones go to the log with their
    traceback."""
    if isinstance(error, Cancelled):
        return Cancelled()
    if isinstance(error, LoupeError):
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    logging.getLogger("loupe").error("A job failed", exc_info=error)
    if isinstance(error, MemoryError):
        return JobError(
            "The server has too little memory for this.",
            "Try again when fewer jobs are running, or with a smaller file.",
        )
    return JobError(
        f"Something in Loupe broke during this work ({type(error).__name__}); your files are "
        "unchanged.",
        "Start it again; if it happens again, the server's log says what broke.",
    )


class Jobs:
    """The jobs of a server. Safe to use from several threads.

    People take turns. A job's round is one after its person's last round, but not before the round
    of the server. The waiting job of the lowest round is next; among several, the oldest.
    """

    def __init__(
        self,
        workers: int = WORKERS,
        *,
        share: int = SHARE,
        is_here: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`workers` jobs of people run at a time, and `share` jobs of one person.

        `is_here(watcher)` says whether a watcher's session is connected.
        """
        self._workers = workers
        self._share = share
        self._is_here = is_here
        self._waiting: list[Job[Any]] = []
        self._running: list[Job[Any]] = []
        self._by_key: dict[Hashable, Job[Any]] = {}
        self._round = 0
        self._last_rounds: dict[str, int] = {}
        self._lock = threading.RLock()

    def start(
        self,
        work: Callable[[Progress], T],
        watcher: str | None = None,
        key: Hashable | None = None,
    ) -> Job[T]:
        """Start `work(progress)` in a thread, once it is its turn.

        The server's own work, without a `watcher`, starts at once and is never cancelled for want
        of one. Where a job with this `key` is waiting or running, `watcher` is added to that one,
        which is returned.
        """
        with self._lock:
            joined = self.join(key, watcher)
            if joined is not None:
                return joined
            job = Job(self, work, set() if watcher is None else {watcher})
            if key is not None:
                self._by_key[key] = job
            if watcher is None:
                self._begin(job)
            else:
                job.round = self._next_round(watcher)
                self._waiting.append(job)
                self._begin_next()
            return job

    def join(self, key: Hashable | None, watcher: str | None) -> Job[Any] | None:
        """The waiting or running job with this `key`, with `watcher` added to it; else None."""
        with self._lock:
            if key is None or not self.under_way(key):
                return None
            job = self._by_key[key]
            if watcher is not None and watcher not in job.watchers:
                job.watchers.add(watcher)
                if job in self._waiting:
                    job.round = min(job.round, self._next_round(watcher))
                    self._begin_next()
            return job

    def under_way(self, key: Hashable) -> bool:
        """Whether a job with this `key` is waiting or running, and not cancelled."""
        with self._lock:
            job = self._by_key.get(key)
            return job is not None and job.unfinished and not job.progress.cancelled

    def before(self, job: Job[Any]) -> int | None:
        """The number of waiting jobs before `job` at present; None where it is not waiting."""
        with self._lock:
            order = self._order()
            return order.index(job) if job in order else None

    def cancel(self, job: Job[Any]) -> None:
        """Ask a job to stop; a waiting one ends at once."""
        job.progress.cancel()
        with self._lock:
            if job.cancelled_at is None:
                job.cancelled_at = time.monotonic()
            if job in self._waiting:
                self._waiting.remove(job)
                self._end(job, Cancelled())

    def leave(self, job: Job[Any], watcher: str) -> None:
        """Remove a watcher of `job`, which is cancelled if it has no other."""
        with self._lock:
            if job.watchers - {watcher}:
                job.watchers.discard(watcher)
                self._begin_next()
            else:
                self.cancel(job)

    def sweep(self, absence: float = ABSENCE, grace: float = GRACE) -> None:
        """Cancel the jobs without a connected watcher for `absence` seconds, and end those that
        were cancelled `grace` seconds ago.

        Call it every few seconds: an absence counts from the first sweep that sees it.
        """
        now = time.monotonic()
        with self._lock:
            for job in [*self._waiting, *self._running]:
                if not job.watchers or any(map(self._is_here, job.watchers)):
                    job.unwatched_since = None
                elif job.unwatched_since is None:
                    job.unwatched_since = now
                if job.unwatched_since is not None and now - job.unwatched_since >= absence:
                    self.cancel(job)
            for job in list(self._running):
                if job.cancelled_at is not None and now - job.cancelled_at >= grace:
                    self._end(job, Cancelled())
            self._begin_next()

    def stop(self, patience: float = 3.0) -> None:
        """Cancel all jobs, and wait up to `patience` seconds until they have ended."""
        with self._lock:
            jobs = [*self._waiting, *self._running]
            for job in jobs:
                self.cancel(job)
        until = time.monotonic() + patience
        for job in jobs:
            job.wait(until - time.monotonic())

    def _next_round(self, watcher: str) -> int:
        next_round = max(self._round, self._last_rounds.get(watcher, -1) + 1)
        # A person whose last round is over starts with the server's round, as a new person does.
        self._last_rounds = {
            person: last for person, last in self._last_rounds.items() if last >= self._round
        } | {watcher: next_round}
        return next_round

    def _order(self) -> list[Job[Any]]:
        return sorted(self._waiting, key=lambda job: job.round)

    def _begin_next(self) -> None:
        for job in self._order():
            busy = [running.watchers for running in self._running if running.watchers]
            free = self._workers - len(busy)
            # A job of several people counts for the one who has the fewest running.
            own = min(sum(watcher in watchers for watchers in busy) for watcher in job.watchers)
            # The last free thread is for a person without a running job (see WORKERS).
            if own < self._share and free >= (1 if own == 0 else 2):
                self._waiting.remove(job)
                self._round = max(self._round, job.round)
                self._begin(job)

    def _begin(self, job: Job[Any]) -> None:
        self._running.append(job)
        try:
            # A daemon thread, so that the process does not wait for it at its end.
            threading.Thread(target=self._run, args=(job,), name="loupe-job", daemon=True).start()
        except RuntimeError as error:  # the system starts no more threads
            self._end(job, error)

    def _run(self, job: Job[Any]) -> None:
        job.run()
        with self._lock:
            self._forget(job)
            self._begin_next()

    def _end(self, job: Job[Any], error: BaseException) -> None:
        job.give_up(error)
        self._forget(job)

    def _forget(self, job: Job[Any]) -> None:
        if job in self._running:
            self._running.remove(job)
        for key, keyed in list(self._by_key.items()):
            if keyed is job:
                del self._by_key[key]
