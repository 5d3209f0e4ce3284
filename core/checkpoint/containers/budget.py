"""The limits for reading one checkpoint, however many pickles and files it consists of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from core.errors import CheckpointError

OPERATIONS = 4_000_000
"""Opcodes in all of a file's pickles. A tensor's run (`tensor_run.py`) counts as one; read one by
one, a tensor takes 30."""

OBJECTS = 2_300_000
"""Objects of about 64 bytes that a file's pickles may make, copies included. A tensor takes 8 in a
run, and 20 if its opcodes are read one by one. Without it, short opcodes could fill the memory."""

STEPS = 1_200_000
"""Objects of a file's tree that are searched for tensors. An object that several others contain
counts each time, and slow steps count more than once."""

MAX_DIMENSIONS = 64
"""The most dimensions of a tensor or an array. numpy's arrays have at most 64 (NPY_MAXDIMS in
numpy/ndarraytypes.h). torch makes tensors of more, but cannot reduce them along chosen dimensions
(dim_bitset_size in ATen/WrapDimUtilsMulti.h)."""


@dataclass(slots=True)
class Work:
    """The work that is left, and how many files of a set were opened."""

    operations: int = OPERATIONS
    objects: int = OBJECTS
    steps: int = STEPS
    files: int = 0


_work: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def bounded_work() -> Iterator[None]:
    """A context in which all reading in this thread shares one budget of work.

    It is the budget of one file, plus that of each further file that `another_file` counts.
    """
    token = _work.set(Work())
    try:
        yield
    finally:
        _work.reset(token)


def work_left() -> Work:
    """The budget that applies now; outside `bounded_work`, a new one of one file."""
    return _work.get() or Work()


def spend(operations: int) -> None:
    """Take opcodes off the budget. Raises CheckpointError where it is used up."""
    work = work_left()
    work.operations -= operations
    if work.operations < 0:
        raise CheckpointError(
            "The file has more parts than a checkpoint of its size.",
            "It was made to keep a reader busy: get it from a source you trust.",
        )


def another_file() -> None:
    """Add the budget of one file, for each file of a set but the first."""
    work = work_left()
    work.files += 1
    if work.files > 1:
        allow(1)


def allow(files: int) -> None:
    """Add the budget of so many files."""
    work = work_left()
    work.operations += files * OPERATIONS
    work.objects += files * OBJECTS
    work.steps += files * STEPS
