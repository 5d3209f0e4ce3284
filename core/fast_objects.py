"""Frozen dataclasses made in a fifth of the time, where a file has one for each of its tensors.

A frozen dataclass fills its fields through `object.__setattr__`, a call for each of them. Here a
twin that is not frozen, with the same slots, is filled by plain assignments and then told to be of
the frozen class, which CPython allows between classes of one layout (Objects/typeobject.c,
compatible_for_assignment). What comes out is the frozen class's own instance in every respect.

While so many objects are made, the collector of cycles is paused.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, field, fields, make_dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def quick(frozen: Callable[P, T]) -> Callable[P, T]:
    """A constructor of a frozen dataclass with slots, with the same parameters and result.

    The class has defaults, and neither factories nor a `__post_init__`: TypeError otherwise.
    """
    assert isinstance(frozen, type)
    own = fields(frozen)
    if hasattr(frozen, "__post_init__") or any(one.default_factory is not MISSING for one in own):
        raise TypeError(f"{frozen.__name__} does more than fill its fields")
    twin = make_dataclass(
        f"_{frozen.__name__}",
        [(one.name, object, field(default=one.default)) for one in own],
        slots=True,
    )

    def make(*values: P.args, **named: P.kwargs) -> T:
        made = twin(*values, **named)
        made.__class__ = frozen
        return made  # type: ignore[no-any-return]  # it is of the frozen class since the last line

    return make


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
