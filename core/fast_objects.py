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
from dataclasses import MISSING, fields
from typing import Any, ParamSpec, TypeVar

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
    names = [spec.name for spec in specs]
    twin = type(f"_{frozen.__name__}", (), {"__slots__": names})
    defaults = {spec.name: spec.default for spec in specs if spec.default is not MISSING}
    parameters = [f"{name}=_defaults[{name!r}]" if name in defaults else name for name in names]
    # One function whose code names each field, as `dataclass` itself writes one: a call inside
    # another with `*values` takes as long as all the assignments.
    lines = [
        f"def make({', '.join(parameters)}):",
        "    _made = _new(_twin)",
        *(f"    _made.{name} = {name}" for name in names),
        "    _made.__class__ = _frozen",
        "    return _made",
    ]
    scope: dict[str, Any] = {
        "_new": object.__new__,
        "_twin": twin,
        "_frozen": frozen,
        "_defaults": defaults,
    }
    exec("\n".join(lines), scope)
    make: Callable[P, T] = scope["make"]
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
