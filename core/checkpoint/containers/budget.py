"""How much reading one checkpoint may take, however many pickles and files it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from core.errors import CheckpointError

OPERATIONS = 4_000_000
"""Opcodes of a file's pickles, a tensor's run counted as one: read singly, a tensor takes 30."""

OBJECTS = 2_300_000
"""Objects of about 64 bytes that a file's pickles may make, what is copied counted: a tensor takes
8 in a run, and 20 when its opcodes are read singly. It keeps short opcodes from filling the
memory."""

STEPS = 1_200_000
"""Objects of its tree that are looked at for tensors, those that hang in several places counted
each time, and what takes longer counted more than once."""


@dataclass(slots=True)
class Work:
    """What is left to spend."""

    operations: int = OPERATIONS
    objects: int = OBJECTS
    steps: int = STEPS
    files: int = 0


_work: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def bounded_work() -> Iterator[None]:
    """Let all that is read inside, in this thread, share the work of one file, or of as many as
    `another_file` tells of."""
    token = _work.set(Work())
    try:
        yield
    finally:
        _work.reset(token)


def work_left() -> Work:
    """What may be spent now; outside of `bounded_work`, a file's."""
    return _work.get() or Work()


def spend(operations: int) -> None:
    """Take as much off as so many opcodes. Raises CheckpointError where nothing is left."""
    work = work_left()
    work.operations -= operations
    if work.operations < 0:
        raise CheckpointError(
            "The file has more parts than a checkpoint of its size.",
            "It was made to keep a reader busy: get it from a source you trust.",
        )


def another_file() -> None:
    """Add what a file may take, for each file of a set but the first."""
    work = work_left()
    work.files += 1
    if work.files > 1:
        allow(1)


def allow(files: int) -> None:
    """Add what so many files may take."""
    work = work_left()
    work.operations += files * OPERATIONS
    work.objects += files * OBJECTS
    work.steps += files * STEPS
