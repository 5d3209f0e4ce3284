"""Objects of which a server has one, made at the first call and kept until the server ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_making = threading.RLock()
"""One lock for all, because making one object may call for another."""


class Once(Generic[T]):
    """A function without arguments whose result is made once. Safe to call from several threads.

    An error while making it is raised to the caller, and the next call tries again.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self.__doc__ = make.__doc__
        self._make = make
        self._values: list[T] = []  # empty until it is made: None may be the object itself

    def __call__(self) -> T:
        """The object, which the first call makes."""
        if not self._values:
            with _making:
                if not self._values:  # another thread may have made it meanwhile
                    self._values.append(self._make())
        return self._values[0]
