"""How far two tensors are from each other, in one pass over the stored bytes.

The work is split into tasks of about the same size: a large tensor becomes several tasks, and many
small ones become one. Threads take them one after another. Reading and computing both release
Python's lock.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from types import ModuleType

from core.checkpoint import ITEMSIZES, TensorEntry
from core.compare.measurability import comparable
from core.compare.numbers.block_sums import BlockSums
from core.compare.numbers.contiguous import (
    KERNEL,
    KernelMeasure,
    load_kernel,
    suits_kernel,
)
from core.compare.numbers.partial_sums import PartialSums
from core.compare.tensor_numbers import ALLCLOSE, Numbers, Tolerance
from core.errors import LoupeError
from core.inspect import RecordChecks
from core.progress import Report, ignore
from core.streaming import Stopped, cores, is_contiguous_record, shared_events, slice_of

Pair = tuple[TensorEntry, TensorEntry]

TASK = 1 << 21
"""Elements in a task: a few milliseconds of work."""

TASK_PAIRS = 64
"""The most small pairs in a task."""

WORTH_BYTES, WORTH_PAIRS = 256 << 20, 1000
"""From either of these on, the compiled loops are faster than numpy, though loading them takes a
second of CPU time, and compiling them for the first time on a machine takes 2 s."""

WORTH_BYTES_LOADED = 64 << 20
"""The same where they are loaded, as in a server."""

REPORT = 1 << 19
"""Elements after which the slower path through numpy reports its progress."""


def difference(
    a: TensorEntry,
    b: TensorEntry,
    tolerance: Tolerance = ALLCLOSE,
    *,
    progress: Report = ignore,
) -> Numbers:
    """Measure B against A in float64, for any dtypes; `progress` counts elements.

    A quantized tensor is measured with its scales applied. Norms neither overflow nor vanish in
    between: they are infinite only where float64 cannot represent them, and then there is no
    cosine.

    Raises LoupeError where the two cannot be compared, SourceError where the bytes are gone, and
    Cancelled.
    """
    ((_, numbers),) = differences([(a, b)], tolerance, progress=progress)
    return numbers


def differences(
    pairs: Sequence[Pair],
    tolerance: Tolerance = ALLCLOSE,
    *,
    checks: RecordChecks | None = None,
    progress: Report = ignore,
    threads: int | None = None,
) -> Iterator[tuple[int, Numbers]]:
    """Yield (index of the pair, its numbers) when each is done, in any order.

    With `checks`, the checksums of both tensors are checked too, unless they were before.
    `threads` share the work, by default one per core that this process may use. Each takes a few
    megabytes of memory for tensors of any size. A cancel stops them all; what was yielded stays
    valid. Raises as `difference` does.
    """
    for a, b in pairs:
        if not comparable(a, b):
            raise LoupeError(
                f"{a.key} and {b.key} cannot be measured: their shapes differ, or one has no data, "
                "or is sparse or nested.",
                "Choose dense tensors that have the same shape in both files.",
            )
    tasks = _tasks(pairs)
    rest = [0] * len(pairs)
    for task in tasks:
        for work in task:
            rest[work.index] += 1
    sums = [PartialSums()] * len(pairs)
    done, total = 0, sum(a.numel for a, _ in pairs)
    key = ""
    kernel = load_kernel() if _worth_loading(pairs, total) else None
    damaged: dict[int, tuple[str, ...]] = {}

    def make_worker(stop: threading.Event) -> Callable[[Sequence[_Work]], Iterator[_Event]]:
        return _Worker(tolerance, kernel, checks, stop).events

    with closing(shared_events(tasks, make_worker, threads or cores())) as events:
        for event in events:
            if event is not None:
                done += event.numel
                sums[event.index] += event.part
                rest[event.index] -= event.ends
                if event.damaged:
                    damaged[event.index] = event.damaged
                key = pairs[event.index][0].key
            progress(done, total, key)
            if event is not None and event.ends and not rest[event.index]:
                numbers = sums[event.index].numbers(pairs[event.index][0].numel)
                yield event.index, replace(numbers, damaged=damaged.get(event.index, ()))


@dataclass(frozen=True, slots=True)
class _Work:
    """Elements `start` to `stop` of a pair; all of them where the two are not `contiguous`."""

    index: int
    a: TensorEntry
    b: TensorEntry
    contiguous: bool
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Event:
    """The numbers of `numel` elements of a pair; `ends` where they are the last ones of a _Work.

    `damaged` are the sides of the pair whose checksum does not hold, if this event is on that.
    """

    index: int
    numel: int
    part: PartialSums
    ends: bool
    damaged: tuple[str, ...] = ()


def _worth_loading(pairs: Sequence[Pair], numel: int) -> bool:
    if len(pairs) >= WORTH_PAIRS:
        return True
    loaded = KERNEL in sys.modules
    worth = min(WORTH_BYTES, WORTH_BYTES_LOADED) if loaded else WORTH_BYTES
    return (
        numel * 16 >= worth
        and sum(entry.numel * ITEMSIZES[entry.dtype] for pair in pairs for entry in pair) >= worth
    )


def _tasks(pairs: Sequence[Pair]) -> list[list[_Work]]:
    tasks: list[list[_Work]] = []
    small: list[_Work] = []
    room = 0
    for index, (a, b) in enumerate(pairs):
        numel, contiguous = a.numel, is_contiguous_record(a) and is_contiguous_record(b)
        if numel > TASK // 4:
            step = TASK if contiguous else numel
            tasks.extend(
                [_Work(index, a, b, contiguous, start, min(start + step, numel))]
                for start in range(0, numel, step)
            )
            continue
        if not small or room < numel or len(small) == TASK_PAIRS:
            small, room = [], TASK
            tasks.append(small)
        small.append(_Work(index, a, b, contiguous, 0, numel))
        room -= numel
    return tasks


class _Worker:
    """Measures tasks; each thread has its own, with its buffers."""

    def __init__(
        self,
        tolerance: Tolerance,
        kernel: ModuleType | None,
        checks: RecordChecks | None,
        stop: threading.Event,
    ) -> None:
        self._checks = checks
        self._stop = stop
        self._sums = BlockSums(tolerance)
        self._by_kernel = None if kernel is None else KernelMeasure(kernel, self._sums)

    def events(self, task: Sequence[_Work]) -> Iterator[_Event]:
        for work in task:
            if work.start == 0 and (damaged := self._damaged(work)):
                yield _Event(work.index, 0, PartialSums(), ends=False, damaged=damaged)
            kernel = self._by_kernel
            if kernel is not None and work.contiguous and suits_kernel(work.a, work.b):
                part = kernel.part(work.a, work.b, work.start, work.stop)
                yield _Event(work.index, work.stop - work.start, part, ends=True)
            else:
                yield from self._by_numpy(work)

    def _damaged(self, work: _Work) -> tuple[str, ...]:
        """The sides whose checksum does not hold."""
        if self._checks is None:
            return ()
        sides = {"A": work.a, "B": work.b}
        checks = self._checks
        return tuple(
            side for side, entry in sides.items() if checks.is_damaged(entry, self._end_if_stopped)
        )

    def _end_if_stopped(self, _: int) -> None:
        if self._stop.is_set():
            raise Stopped

    def _by_numpy(self, work: _Work) -> Iterator[_Event]:
        a, b = work.a, work.b
        if work.contiguous:
            a, b = (slice_of(entry, work.start, work.stop) for entry in (a, b))
        numel, sums = 0, PartialSums()
        for count, part in self._sums.parts(a, b):
            sums += part
            numel += count
            if numel >= REPORT:
                yield _Event(work.index, numel, sums, ends=False)
                numel, sums = 0, PartialSums()
        yield _Event(work.index, numel, sums, ends=True)
