"""When the server's process collects garbage: in the idle, and not after each click.

A full collection looks at every object that Python keeps track of. With torch, timm and the index
of architectures in memory these are a million, which takes 0.4 s, while no other thread runs.
"""

from __future__ import annotations

import gc
import threading
import time

QUIET = 1.0
"""Seconds without a run of a script after which the garbage of those before is collected."""

LONGEST = 10.0
"""Seconds after which it is collected all the same, where people leave no second without a run."""


def keep_what_is_loaded() -> None:
    """Take all objects that are there now out of the collector's sight, for good.

    To be called once everything that stays for the process's life is loaded. An object that is let
    go of is freed as before; only cycles among those of now are never found.
    """
    gc.collect()
    gc.freeze()


SHARE = 0.01
"""Of the time that collections may take then."""


class IdleCollector:
    """Collects garbage in a thread of its own once scripts have run and then rest.

    Python's own collections of young objects go on beside it.
    """

    def __init__(self, quiet: float = QUIET, longest: float = LONGEST) -> None:
        self.collections = 0
        self._quiet = quiet
        self._longest = longest
        self._took = 0.0
        self._changed = threading.Condition()
        self._last: float | None = None
        self._thread: threading.Thread | None = None

    def ran(self) -> None:
        """A script runs, and will leave garbage. Starts the thread with the first."""
        with self._changed:
            self._last = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._collect, name="loupe-garbage", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def _collect(self) -> None:
        while True:
            self._await_rest()
            started = time.monotonic()
            gc.collect()
            self._took = time.monotonic() - started
            with self._changed:
                self.collections += 1
                self._changed.notify_all()

    def _await_rest(self) -> None:
        with self._changed:
            while self._last is None:
                self._changed.wait()
            latest = self._last + max(self._longest, self._took / SHARE)
            while True:
                now = time.monotonic()
                due = min(self._last + self._quiet, latest)
                if now >= due:
                    break
                self._changed.wait(due - now)
            self._last = None

    def wait_for_collection(self, number: int, timeout: float) -> bool:
        """Wait until `collections` is at least `number`; False where it is not within `timeout`
        seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.collections >= number, timeout)
