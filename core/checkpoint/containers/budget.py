"""The limits for reading one checkpoint, however many pickles and files it consists of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from core.errors import CheckpointError
from core.wording import count

OPERATIONS = 4_000_000
"""Opcodes in all of a file's pickles, besides those that their bytes allow. A tensor's run
(`tensor_run.py`) counts as one; read one by one, a tensor takes 30."""

BYTES_PER_OPERATION = 2
"""A pickle may have one more opcode for so many of its bytes: few opcodes are a single byte."""

OBJECTS = 1_500_000
"""Objects of about 64 bytes that a file's pickles may make besides those that their bytes allow,
copies included. A tensor takes 8 in a run, and 20 if its opcodes are read one by one. Without it,
short opcodes could fill the memory."""

BYTES_PER_OBJECT = 6
"""A pickle may make one more object for so many of its bytes: a fraction takes 9, and a word of a
vocabulary some 20."""

STEPS = 1_200_000
"""Steps of the search for tensors in a file's tree, besides those that the bytes of its pickles
allow. Each entry of a state_dict takes several, and one that has many names counts each time."""

BYTES_PER_STEP = 12
"""A file may take one more step for so many bytes of its pickles; a tensor takes some 100."""

MAX_GROWTH = 40 << 20
"""Bytes of a file's pickles that allow more opcodes, objects and steps."""

MAX_DIMENSIONS = 64
"""The most dimensions of a tensor or an array. numpy's arrays have at most 64 (NPY_MAXDIMS in
numpy/ndarraytypes.h). torch makes tensors of more, but cannot reduce them along chosen dimensions
(dim_bitset_size in ATen/WrapDimUtilsMulti.h)."""


class MoreThanLoupeReads(CheckpointError):
    """A file goes beyond a limit of Loupe's own. It may be sound."""

    def __init__(self, what: str, remedy: str = "") -> None:
        """`what` says which limit, in words that follow a colon."""
        super().__init__(
            f"The file has more than Loupe reads: {what}; the file may be sound.",
            remedy
            or "Save the weights alone, with torch.save(model.state_dict(), ...), and open that.",
        )


def check_dimensions(number: int, name: str = "a tensor in it") -> None:
    """Raise MoreThanLoupeReads for a tensor of more than MAX_DIMENSIONS."""
    if number > MAX_DIMENSIONS:
        raise MoreThanLoupeReads(
            f"{name[:200]} has more than {MAX_DIMENSIONS} dimensions",
            "Save it again with fewer dimensions, or without this tensor.",
        )


@dataclass(slots=True)
class Work:
    """The work that is left, and how many files of a set were opened."""

    operations: int = OPERATIONS
    objects: int = OBJECTS
    steps: int = STEPS
    growth: int = MAX_GROWTH
    files: int = 0

    def grow(self, nbytes: int) -> int:
        """Count bytes of a file's descriptions, and allow the steps for them.

        Returns how many of the bytes are within MAX_GROWTH.
        """
        counted = min(nbytes, self.growth)
        self.growth -= counted
        self.steps += counted // BYTES_PER_STEP
        return counted


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
    """Take opcodes off the budget. Raises MoreThanLoupeReads where it is used up."""
    work = work_left()
    work.operations -= operations
    if work.operations < 0:
        raise MoreThanLoupeReads(
            f"its parts take more than {count(OPERATIONS)} steps to be put together"
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
