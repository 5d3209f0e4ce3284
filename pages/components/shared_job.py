"""A job whose work and result all sessions share: who opens the page while it runs sees it run."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Generic, TypeVar

import streamlit as st

from core.errors import LoupeError
from core.plain_text import plain_sentence
from core.progress import Cancelled, Progress
from core.server import Job, NewestResults
from pages.components.job_panel import job_panel
from pages.components.resources import jobs, results
from pages.components.session import session_id

T = TypeVar("T")


class SharedJob(Generic[T]):
    """The job of one kind of work on one thing, and what came of it, as this session sees it.

    Ask `under_way` before `result`: a job that ends in between has its result there.
    """

    def __init__(self, kind: str, identity: str, most: int) -> None:
        """`identity` tells the thing from all others; the newest `most` results are kept."""
        self._key = kind, identity
        self._identity = identity
        self._results: NewestResults[T] = results(kind, most)
        self.slot = f"{kind}-job-{sha256(ascii(identity).encode()).hexdigest()[:16]}"
        """A name for this session's widgets and state."""

    @property
    def result(self) -> T | None:
        """What a job of anybody's came to, or None."""
        return self._results.get(self._identity)

    def keep(self, result: T) -> None:
        """Keep a result that needed no job, or what a job has come to so far."""
        self._results.put(self._identity, result)

    @property
    def under_way(self) -> bool:
        """Whether there is a job to `watch`: this session's, or another's that this one has not
        stopped watching."""
        if self.slot in st.session_state:
            return True
        return self._ended is None and jobs().under_way(self._key)

    @property
    def stopped(self) -> bool:
        """Whether the last job was stopped, and no other is begun since."""
        return isinstance(self._ended, Cancelled)

    @property
    def failed(self) -> bool:
        """Whether the last job failed, and no other is begun since."""
        return isinstance(self._ended, LoupeError)

    def draw_failure(self) -> None:
        """Say why the last job failed, where it did."""
        if isinstance(self._ended, LoupeError):
            st.error(plain_sentence(str(self._ended)), icon=":material/error:")

    def start(self, work: Callable[[Progress], T]) -> None:
        """Start the work, or watch the job of it that is under way."""

        def kept(progress: Progress) -> T:
            result = work(progress)
            self.keep(result)
            return result

        st.session_state.pop(f"{self.slot}-ended", None)
        st.session_state[self.slot] = jobs().start(kept, session_id(), self._key)

    def watch(self) -> T | None:
        """Draw the bar of the job that is under way; its result once it is done, None until then.

        Where it ends otherwise the page is run again, and finds it `stopped` or `failed`.
        """
        if self.slot not in st.session_state:
            joined: Job[T] | None = jobs().join(self._key, session_id())
            if joined is None:  # it ended just now
                st.rerun()
            st.session_state[self.slot] = joined
        job: Job[T] = st.session_state[self.slot]
        try:
            found = job_panel(self.slot, job)
        except (Cancelled, LoupeError) as error:
            del st.session_state[self.slot]
            st.session_state[f"{self.slot}-ended"] = error
            st.rerun()
        if found is not None:
            del st.session_state[self.slot]
        return found

    @property
    def _ended(self) -> Cancelled | LoupeError | None:
        ended: Cancelled | LoupeError | None = st.session_state.get(f"{self.slot}-ended")
        return ended
