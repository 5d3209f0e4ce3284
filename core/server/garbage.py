"""When the server's process collects garbage: in the idle, and not after each click.

A full collection looks at every object that Python keeps track of. With torch, timm and the index
of architectures in memory these are a million, which takes 0.4 s, while no other thread runs.
"""

from __future__ import annotations

import gc
import threading
import time

QUIET = 1.0
"""Seconds without work after which the garbage that it left is collected."""

LONGEST = 10.0
"""Seconds after which it is collected all the same, where there is never a second without work."""

SHARE = 0.01
"""Of the time that collections may take then."""

FULL = 2
"""The generation of a collection that looks at all objects."""


def keep_what_is_loaded() -> None:
    """Take all objects that are there now out of the collector's sight, for good.

    To be called once everything that stays for the process's life is loaded. An object that is let
    go of is freed as before; only cycles among those of now are never found.
    """
    gc.collect()
    gc.freeze()


class IdleCollector:
    """Collects all garbage in a thread of its own, once work is done and for a while none follows.

    Whatever makes objects is work: a script's run, a job, an upload. Python tells by its own
    collections of young objects, which go on beside this.
    """

    def __init__(self, quiet: float = QUIET, longest: float = LONGEST) -> None:
        self._quiet = quiet
        self._longest = longest
        self._worked: float | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Collect from now on, until `stop`."""
        gc.callbacks.append(self._note)
        threading.Thread(target=self._collect, name="loupe-garbage", daemon=True).start()

    def stop(self) -> None:
        """Collect no more."""
        gc.callbacks.remove(self._note)
        self._stopped.set()

    def _note(self, phase: str, info: dict[str, int]) -> None:
        """What Python calls at each collection, in any thread and at any place: so without a lock,
        which the thread may hold already."""
        if phase == "stop" and info["generation"] < FULL:
            self._worked = time.monotonic()

    def _collect(self) -> None:
        latest = None
        took = 0.0
        while not self._stopped.wait(self._quiet):
            worked, now = self._worked, time.monotonic()
            if worked is None:
                continue
            latest = latest or worked + max(self._longest, took / SHARE)
            if now < min(worked + self._quiet, latest):
                continue
            self._worked, latest = None, None
            gc.collect()
            took = time.monotonic() - now
