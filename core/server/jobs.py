"""Long work in a thread of its own: progress that a page can read, a cancel that works at once.

The threads are shared fairly among the people who watch the work, and work that nobody watches any
more is given up.
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
"""Jobs of people at a time. The last free thread is for somebody who has no job under way, so that
one more person is always served at once while three threads are busy."""

SHARE = 2
"""Jobs of one person at a time."""

ABSENCE = 60.0
"""Seconds for which nobody need be there to watch a job before it is given up."""

GRACE = 30.0
"""Seconds that a cancelled job has to come to its next report; then it counts as ended, though what
it calls goes on, such as a forward pass of another's code that never returns."""


class Job(Generic[T]):
    """One piece of work: waiting, under way or ended. `Jobs` makes it.

    `watchers` are the sessions for which it is done; none where it is the server's own. `started`
    is when it was asked for, and from its beginning on when that was, on the monotonic clock.
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
    def running(self) -> bool:
        """Whether the work goes on still, or has yet to begin."""
        return not self._ended.is_set()

    @property
    def before(self) -> int | None:
        """How many waiting jobs begin before this one, as things are; None once it has begun."""
        return self._jobs.before(self)

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the pace so far; None before there is one."""
        fraction = self.progress.fraction
        if fraction == 0:
            return None
        return (time.monotonic() - self.started) * (1 - fraction) / fraction

    def cancel(self) -> None:
        """Ask the work to stop, whoever watches it; `result` then raises Cancelled."""
        self._jobs.cancel(self)

    def leave(self, watcher: str) -> None:
        """`watcher` wants it no more: it stops where nobody else does."""
        self._jobs.leave(self, watcher)

    def result(self) -> T:
        """What the work returned, waiting for it.

        Raises Cancelled, the work's own LoupeError, or JobError for whatever else ended it.
        """
        self._ended.wait()
        if self._error is not None:
            # Each raise adds to an error's traceback, whose frames hold what they computed.
            raise self._error.with_traceback(None)
        result: T = self._result  # type: ignore[assignment]
        return result

    def run(self) -> None:
        """Do the work in this thread; never raises."""
        work, self.started = self._work, time.monotonic()
        try:
            if work is None or self.progress.cancelled:
                raise Cancelled
            self._end(None, work(self.progress))
        except BaseException as error:  # another's code may raise anything: it ends this job alone
            self._end(_told(error))

    def give_up(self, error: BaseException) -> None:
        """The job is over by `error`, whatever its thread still does."""
        self._end(_told(error))

    def _end(self, error: BaseException | None, result: T | None = None) -> None:
        with self._ending:
            if not self._ended.is_set():
                self._error, self._result = error, result
                # What the work was made of may be large, and an ended job is kept for its result.
                self._work = None
                self._ended.set()


def _told(error: BaseException) -> BaseException:
    """What an ended job raises; the rest of it goes to the log."""
    if isinstance(error, Cancelled):
        return Cancelled()
    if isinstance(error, LoupeError):
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    logging.getLogger("loupe").error("A job failed", exc_info=error)
    if isinstance(error, MemoryError):
        return JobError(
            "The server has too little memory for this.",
            "Try again when less is under way, or with a smaller file.",
        )
    return JobError(
        f"Something in Loupe broke during this work ({type(error).__name__}); your files are as "
        "they were.",
        "Start it again; if it happens again, the server's log says what broke.",
    )


class Jobs:
    """The long work of a server. Safe to use from several threads.

    People take turns: each job has a round, the one after its person's last, but none before the
    round that the server is at. Of the waiting jobs the one of the lowest round is next, and of
    several the one that was asked for first.
    """

    def __init__(
        self,
        workers: int = WORKERS,
        *,
        share: int = SHARE,
        is_here: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """`workers` jobs of people run at a time, `share` of one person; `is_here(watcher)` says
        whether a watcher's session is there."""
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

        The server's own work, without a `watcher`, begins at once and is never given up. Where a
        job of `key` is under way, that one is watched and returned.
        """
        with self._lock:
            found = self.join(key, watcher)
            if found is not None:
                return found
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
        """The job of `key` that is under way, which `watcher` watches from now on; else None."""
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
        """Whether a job of `key` waits or runs, and nobody has stopped it."""
        with self._lock:
            job = self._by_key.get(key)
            return job is not None and job.running and not job.progress.cancelled

    def before(self, job: Job[Any]) -> int | None:
        """How many waiting jobs begin before `job`, as things are; None where it waits not."""
        with self._lock:
            order = self._order()
            return order.index(job) if job in order else None

    def cancel(self, job: Job[Any]) -> None:
        """Ask a job to stop; one that waits ends at once."""
        job.progress.cancel()
        with self._lock:
            if job.cancelled_at is None:
                job.cancelled_at = time.monotonic()
            if job in self._waiting:
                self._waiting.remove(job)
                self._end(job, Cancelled())

    def leave(self, job: Job[Any], watcher: str) -> None:
        """`watcher` wants `job` no more: it stops where nobody else does."""
        with self._lock:
            if job.watchers - {watcher}:
                job.watchers.discard(watcher)
                self._begin_next()
            else:
                self.cancel(job)

    def sweep(self, absence: float = ABSENCE, grace: float = GRACE) -> None:
        """Cancel the jobs of whose watchers none has been there for `absence` seconds, and count
        those no more that were cancelled `grace` seconds ago.

        To be called every few seconds: an absence counts from when it is first seen.
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
        while any(job.running for job in jobs) and time.monotonic() < until:
            time.sleep(0.02)

    def _next_round(self, watcher: str) -> int:
        given = max(self._round, self._last_rounds.get(watcher, -1) + 1)
        # Whose last round is over begins with the server's, as somebody new does.
        self._last_rounds = {
            each: last for each, last in self._last_rounds.items() if last >= self._round
        } | {watcher: given}
        return given

    def _order(self) -> list[Job[Any]]:
        return sorted(self._waiting, key=lambda job: job.round)

    def _begin_next(self) -> None:
        for job in self._order():
            people = [each.watchers for each in self._running if each.watchers]
            free = self._workers - len(people)
            own = min(sum(one in each for each in people) for one in job.watchers)
            if own < self._share and free >= (1 if own == 0 else 2):
                self._waiting.remove(job)
                self._round = max(self._round, job.round)
                self._begin(job)

    def _begin(self, job: Job[Any]) -> None:
        self._running.append(job)
        try:
            # A daemon: a server that is told to end does not wait for it.
            threading.Thread(target=self._run, args=(job,), name="loupe-job", daemon=True).start()
        except RuntimeError as error:  # the system gives no more threads
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
        for key, found in list(self._by_key.items()):
            if found is job:
                del self._by_key[key]
