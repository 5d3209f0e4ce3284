"""How tests wait: for a state, never for a time."""

import time
from collections.abc import Callable

PATIENCE = 180
"""Seconds after which a state counts as one that never comes. A machine on which others work takes
a minute for what it does in seconds when it is free, and a test that passes does not wait for it.
"""


def wait_until(reached: Callable[[], object]) -> None:
    """Return once `reached` is true of what it looks at; fail after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, f"It did not come in {PATIENCE} seconds."
        time.sleep(0.02)
