"""A job whose progress and result all sessions share, also those that open the page later."""

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
    """One kind of work on one subject: its job and its result, as this session sees them.

    Read `under_way` before `result`. In the other order, a job that ends between the two would seem
    to have neither a job nor a result.
    """

    def __init__(self, kind: str, identity: str, max_results: int) -> None:
        """`identity` distinguishes the subject, such as a pair of files, from all others.

        The newest `max_results` results of this kind are kept.
        """
        self._key = kind, identity
        self._identity = identity
        self._results: NewestResults[T] = results(kind, max_results)
        self.widget_key = f"{kind}-job-{sha256(ascii(identity).encode()).hexdigest()[:16]}"
        """The start of the keys of this session's widgets and state."""

    @property
    def result(self) -> T | None:
        """The result of the job, whichever session started it, or None."""
        return self._results.get(self._identity)

    def keep(self, result: T) -> None:
        """Keep a result that needed no job, or a job's partial result."""
        self._results.put(self._identity, result)

    @property
    def under_way(self) -> bool:
        """Whether there is a job to `watch`: one of this session, or one of another session that
        this session has not stopped watching."""
        if self.widget_key in st.session_state:
            return True
        return self._ended is None and jobs().under_way(self._key)

    @property
    def stopped(self) -> bool:
        """Whether the last job was cancelled, and no other was started since."""
        return isinstance(self._ended, Cancelled)

    @property
    def failed(self) -> bool:
        """Whether the last job failed, and no other was started since."""
        return isinstance(self._ended, LoupeError)

    def draw_failure(self) -> None:
        """Draw the error of the last job, if it failed."""
        if isinstance(self._ended, LoupeError):
            st.error(plain_sentence(str(self._ended)), icon=":material/error:")

    def start(self, work: Callable[[Progress], T]) -> None:
        """Start the work as a job, or join the job that does this work already."""

        def work_and_keep(progress: Progress) -> T:
            result = work(progress)
            self.keep(result)
            return result

        st.session_state.pop(f"{self.widget_key}-ended", None)
        st.session_state[self.widget_key] = jobs().start(work_and_keep, session_id(), self._key)

    def watch(self, doing: str = "Working") -> T | None:
        """Draw the job's progress bar. Returns its result once it is done, None until then.

        `doing` is what it does, in words, until the job itself says more.

        If the job is cancelled or fails, the page runs again and sees it as `stopped` or `failed`.
        """
        if self.widget_key not in st.session_state:
            joined: Job[T] | None = jobs().join(self._key, session_id())
            if joined is None:  # it ended since `under_way` was read
                st.rerun()
            st.session_state[self.widget_key] = joined
        job: Job[T] = st.session_state[self.widget_key]
        try:
            result = job_panel(self.widget_key, job, doing)
        except (Cancelled, LoupeError) as error:
            del st.session_state[self.widget_key]
            st.session_state[f"{self.widget_key}-ended"] = error
            st.rerun()
        if result is not None:
            del st.session_state[self.widget_key]
        return result

    @property
    def _ended(self) -> Cancelled | LoupeError | None:
        """What ended the last job without a result, as far as this session watched it."""
        error: Cancelled | LoupeError | None = st.session_state.get(f"{self.widget_key}-ended")
        return error
