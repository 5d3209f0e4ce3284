"""The index of the installed libraries for a whole server: read once, or built once beside it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from core.errors import IndexFileError
from core.identify.find import find_index, make_index_in
from core.identify.lookup import Lookup
from core.jobs import Job, Jobs, Progress

WORKERS = max(1, (os.cpu_count() or 2) // 2)
"""Processes that build the index, so that the server's people still find it quick."""


class IndexKeeper:
    """Gives the Lookup to whoever asks, and never lets anybody wait for it to be built."""

    def __init__(self, folder: Path, jobs: Jobs) -> None:
        """`folder` keeps an index that had to be built here."""
        self._folder = folder
        self._jobs = jobs
        self._lookup: Lookup | None = None
        self._job: Job[Lookup] | None = None
        self._failure: IndexFileError | None = None
        self._lock = threading.Lock()

    def lookup(self) -> Lookup | None:
        """The index, or None while it is being built; `job` then tells how far that is.

        Raises IndexFileError where building it failed, to all who ask from then on: the minutes
        that it takes are not spent a second time on the same end.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
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
                except IndexFileError as error:
                    self._failure = error
                    raise
            return self._lookup

    @property
    def job(self) -> Job[Lookup] | None:
        """The building under way, or None."""
        return self._job

    def _build(self, progress: Progress) -> Lookup:
        return Lookup(make_index_in(self._folder, WORKERS, progress.report))
