"""Frozen dataclasses made in a fifth of the time, for files with one object per tensor.

A frozen dataclass sets each field with a call of `object.__setattr__`. Here, plain assignments fill
a twin class that has the same slots and is not frozen. Then `__class__` is set to the frozen class,
which CPython allows between classes of the same layout (Objects/typeobject.c,
compatible_for_assignment). The result is an instance of the frozen class in every respect.

`paused_collector` pauses the garbage collector while so many objects are made.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, field, fields, make_dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def fast_constructor(frozen: Callable[P, T]) -> Callable[P, T]:
    """A faster constructor of a frozen dataclass with slots, with the same parameters and result.

    Fields may have defaults. Raises TypeError where the class has a default factory or a
    `__post_init__`, which the twin would not run.
    """
    assert isinstance(frozen, type)
    specs = fields(frozen)
    if hasattr(frozen, "__post_init__") or any(
        spec.default_factory is not MISSING for spec in specs
    ):
        raise TypeError(f"{frozen.__name__} does more than fill its fields")
    twin = make_dataclass(
        f"_{frozen.__name__}",
        [(spec.name, object, field(default=spec.default)) for spec in specs],
        slots=True,
    )

    def make(*values: P.args, **named: P.kwargs) -> T:
        instance = twin(*values, **named)
        instance.__class__ = frozen
        return instance  # type: ignore[no-any-return]  # the line above made it an instance of the frozen class

    return make


@contextmanager
def paused_collector() -> Iterator[None]:
    """Pause the garbage collector; afterwards it is on again where it was on before.

    Opening a file, or identifying its architecture, makes many objects and no garbage. Every 700
    new ones would start a collection of the youngest generation, and in time one of all objects:
    with torch and the index of architectures imported, that takes 0.2 s. Threads that pause at the
    same time may end each other's pause early, but never leave the collector off.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
