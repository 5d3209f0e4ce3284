"""Python's cycle collector, which is of no use while a file is being opened or identified."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Pause the collector of cycles, and let it go on afterwards where it was on.

    Opening a file makes many objects and no garbage, as does telling its architecture; each further
    700 of them would have the collector look at the youngest, and in time at all that torch has
    imported and at the index of architectures, for 0.2 s. Threads that do so at once may end each
    other's pause early, and never leave the collector off.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
