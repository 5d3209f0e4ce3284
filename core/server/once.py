"""What a whole server has one of: made when it is first asked for, and there until it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_making = threading.RLock()
"""One for all, since what is made asks for others while it is made."""


class Once(Generic[T]):
    """A function without arguments that does its work once. Safe to call from several threads.

    What it raises is raised to whoever asked, and the next to ask tries again.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self.__doc__ = make.__doc__
        self._make = make
        self._made: list[T] = []

    def __call__(self) -> T:
        """The one, made now where it is not there."""
        made = self._made
        if not made:
            with _making:
                made = self._made
                if not made:
                    made.append(self._make())
        return made[0]

    def clear(self) -> None:
        """Forget it: the next to ask gets a new one."""
        with _making:
            self._made = []
