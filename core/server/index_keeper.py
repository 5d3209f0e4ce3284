"""The index of the installed libraries for a whole server: read once, or built once beside it."""

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
"""Processes that build the index, so that the server's people still find it quick."""

RETRY_AFTER = 300.0
"""Seconds after which a building that failed is tried again: it takes minutes of all processes, so
not with each click, and what was in its way may be gone by then."""


class IndexKeeper:
    """Gives the Lookup to whoever asks, and never lets anybody wait for it to be built."""

    def __init__(self, folder: Path, jobs: Jobs, retry_after: float = RETRY_AFTER) -> None:
        """`folder` keeps an index that had to be built here."""
        self.retry_after = retry_after
        self._folder = folder
        self._jobs = jobs
        self._lookup: Lookup | None = None
        self._job: Job[Lookup] | None = None
        self._failure: LoupeError | None = None
        self._failed = 0.0
        self._lock = threading.Lock()

    def lookup(self) -> Lookup | None:
        """The index, or None while it is being built; `job` then tells how far that is.

        Raises LoupeError where building it failed, to all who ask until it is tried again.
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
            if self._job is not None and not self._job.running:
                job, self._job = self._job, None
                try:
                    self._lookup = job.result()
                except Cancelled:  # the server ends
                    return None
                except LoupeError as error:
                    self._failure, self._failed = error, time.monotonic()
                    raise
            return self._lookup

    @property
    def job(self) -> Job[Lookup] | None:
        """The building under way, or None."""
        return self._job

    def _build(self, progress: Progress) -> Lookup:
        return Lookup(make_index_in(self._folder, WORKERS, progress.report))
