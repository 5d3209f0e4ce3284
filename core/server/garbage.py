"""Collects the process's garbage while the server is idle, and not during a click.

A full collection visits every object that Python tracks. With torch, timm and the index of
architectures in memory, these are a million; this takes 0.4 s, in which no other thread runs.
"""

from __future__ import annotations

import gc
import threading
import time

QUIET = 1.0
"""Seconds without work after which garbage is collected."""

LONGEST = 10.0
"""Seconds after which garbage is collected even if there was never a second without work."""

SHARE = 0.01
"""The largest share of the time that such collections during work may take."""

FULL = 2
"""The generation of a full collection."""


def keep_what_is_loaded() -> None:
    """Exclude all current objects from garbage collection, for good.

    Call it once everything that stays for the life of the process is loaded. Reference counting
    still frees these objects; only cycles among them are never collected.
    """
    gc.collect()
    gc.freeze()


class IdleCollector:
    """Runs full collections in its own thread, once no work was done for a while.

    Everything that makes objects is work: a script's run, a job, an upload. It shows in Python's
    own collections of young objects, which continue as usual.
    """

    def __init__(self, quiet: float = QUIET, longest: float = LONGEST) -> None:
        self._quiet = quiet
        self._longest = longest
        self._worked: float | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        gc.callbacks.append(self._note)
        threading.Thread(target=self._collect, name="loupe-garbage", daemon=True).start()

    def stop(self) -> None:
        """Stop the thread."""
        gc.callbacks.remove(self._note)
        self._stopped.set()

    def _note(self, phase: str, info: dict[str, int]) -> None:
        """Note that work was done.

        Python calls this at each collection, in any thread and between any two operations. So it
        takes no lock: the same thread might already have it.
        """
        if phase == "stop" and info["generation"] < FULL:
            self._worked = time.monotonic()

    def _collect(self) -> None:
        deadline = None  # when garbage is collected although there is still work
        seconds = 0.0  # what the last collection took
        while not self._stopped.wait(self._quiet):
            worked, now = self._worked, time.monotonic()
            if worked is None:
                continue
            deadline = deadline or worked + max(self._longest, seconds / SHARE)
            if now < min(worked + self._quiet, deadline):
                continue
            self._worked, deadline = None, None
            gc.collect()
            seconds = time.monotonic() - now
