"""The index of the installed libraries for a server: read once, or built once in a job."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from core.errors import LoupeError
from core.fit.index import Lookup, find_index, make_index_in
from core.progress import Cancelled, Progress
from core.server.jobs import Job, Jobs

WORKERS = max(1, (os.cpu_count() or 2) // 2)
"""Processes that build the index; the other cores stay free for the server's people."""

RETRY_AFTER = 300.0
"""Seconds after which a failed build is tried again. A build takes minutes of all these processes,
so it is not tried at each click; and the cause of the failure may be gone by then."""


class IndexKeeper:
    """Provides the server's Lookup; nobody waits while it is being built."""

    def __init__(self, folder: Path, jobs: Jobs, retry_after: float = RETRY_AFTER) -> None:
        """`folder` is where an index that was built here is stored."""
        self.retry_after = retry_after
        self._folder = folder
        self._jobs = jobs
        self._lookup: Lookup | None = None
        self._job: Job[Lookup] | None = None
        self._failure: LoupeError | None = None
        self._failed = 0.0
        self._lock = threading.Lock()

    def lookup(self) -> Lookup | None:
        """The lookup, or None while the index is being built; `job` then has its progress.

        Raises LoupeError where the build failed, at each call until it is tried again.
        """
        with self._lock:
            if self._failure is not None:
                if time.monotonic() - self._failed < self.retry_after:
                    raise self._failure.with_traceback(None)
                self._failure = None
            if self._lookup is None and self._job is None:
                index = find_index(self._folder)
                if index is None:
                    self._job = self._jobs.start(self._build)
                else:
                    self._lookup = Lookup(index)
            if self._job is not None and not self._job.unfinished:
                job, self._job = self._job, None
                try:
                    self._lookup = job.result()
                except Cancelled:  # the server is stopping
                    return None
                except LoupeError as error:
                    self._failure, self._failed = error, time.monotonic()
                    raise
            return self._lookup

    @property
    def job(self) -> Job[Lookup] | None:
        """The job that builds the index, or None."""
        return self._job

    def _build(self, progress: Progress) -> Lookup:
        return Lookup(make_index_in(self._folder, WORKERS, progress))
