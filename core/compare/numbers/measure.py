"""How far two tensors are from each other, in one pass over the stored bytes.

The work is cut into tasks of about the same size, a large tensor into several and many small ones
into one, which threads take one after another. Reading and computing both let go of Python's lock.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import ModuleType

from core.checkpoint import ITEMSIZES, TensorEntry
from core.compare.measurability import comparable
from core.compare.numbers.block_sums import BlockSums
from core.compare.numbers.partial_sums import PartialSums
from core.compare.numbers.runs import Runs, is_run, load_kernel, slice_of, suits_kernel
from core.compare.tensor_numbers import ALLCLOSE, Numbers, Tolerance
from core.errors import LoupeError
from core.progress import Progress

Pair = tuple[TensorEntry, TensorEntry]

TASK = 1 << 21
"""Elements that a thread takes at once: a few milliseconds of work."""

TASK_PAIRS = 64
"""Small pairs that a thread takes at once."""

WORTH_BYTES, WORTH_PAIRS = 64 << 20, 1000
"""From either on, the compiled loops are faster, though it takes 0.3 s to load them, and the first
time on a machine two seconds to compile them."""

TELL = 1 << 19
"""Elements after which torch's way, the slow one, tells how far it is."""

PATIENCE = 0.1
"""Seconds until a cancel is seen while no thread has anything to tell."""


def difference(
    a: TensorEntry,
    b: TensorEntry,
    tolerance: Tolerance = ALLCLOSE,
    *,
    progress: Progress | None = None,
) -> Numbers:
    """Measure B against A in float64, whatever their dtypes; progress counts elements.

    A quantized tensor's numbers are those that its scales give. Squares are taken such that norms
    neither overflow nor vanish; they are infinite only where float64 has no such number, and then
    there is no cosine.

    Raises LoupeError where the shapes differ, SourceError where the bytes are gone, Cancelled.
    """
    ((_, numbers),) = differences([(a, b)], tolerance, progress=progress)
    return numbers


def differences(
    pairs: Sequence[Pair],
    tolerance: Tolerance = ALLCLOSE,
    *,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Iterator[tuple[int, Numbers]]:
    """Yield (index of the pair, its numbers) as each is done, in any order.

    `threads` share the work, by default as many as there are cores for this process, and each
    takes a few megabytes of memory however large the tensors. A cancel stops them all, and keeps
    what was yielded. Raises as `difference` does.
    """
    for a, b in pairs:
        if not comparable(a, b):
            raise LoupeError(
                f"{a.key} and {b.key} have no numbers: their shapes differ, or one holds no data, "
                "or is sparse or nested.",
                "Choose dense tensors that both files hold with the same shape.",
            )
    tasks = _tasks(pairs)
    rest = [0] * len(pairs)
    for task in tasks:
        for work in task:
            rest[work.index] += 1
    found = [PartialSums()] * len(pairs)
    done, total = 0, sum(a.numel for a, _ in pairs)
    kernel = load_kernel() if _worth_loading(pairs, total) else None
    with closing(_told(tasks, tolerance, kernel, threads or _cores())) as told:
        for event in told:
            if event is not None:
                done += event.numel
                found[event.index] += event.part
                rest[event.index] -= event.ends
            if progress is not None:
                progress.report(done, total, pairs[event.index][0].key if event else progress.what)
            if event is not None and event.ends and not rest[event.index]:
                yield event.index, found[event.index].numbers(pairs[event.index][0].numel)


@dataclass(frozen=True, slots=True)
class _Work:
    """Elements `start` to `stop` of a pair; all of them where it is not two plain runs."""

    index: int
    a: TensorEntry
    b: TensorEntry
    runs: bool
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Event:
    """What became of `numel` elements of a pair; `ends` where they were the last of a work."""

    index: int
    numel: int
    part: PartialSums
    ends: bool


def _worth_loading(pairs: Sequence[Pair], numel: int) -> bool:
    if len(pairs) >= WORTH_PAIRS:
        return True
    return (
        numel * 16 >= WORTH_BYTES
        and sum(entry.numel * ITEMSIZES[entry.dtype] for pair in pairs for entry in pair)
        >= WORTH_BYTES
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _tasks(pairs: Sequence[Pair]) -> list[list[_Work]]:
    tasks: list[list[_Work]] = []
    small: list[_Work] = []
    room = 0
    for index, (a, b) in enumerate(pairs):
        numel, runs = a.numel, is_run(a) and is_run(b)
        if numel > TASK // 4:
            step = TASK if runs else numel
            tasks.extend(
                [_Work(index, a, b, runs, start, min(start + step, numel))]
                for start in range(0, numel, step)
            )
            continue
        if not small or room < numel or len(small) == TASK_PAIRS:
            small, room = [], TASK
            tasks.append(small)
        small.append(_Work(index, a, b, runs, 0, numel))
        room -= numel
    return tasks


def _told(
    tasks: Sequence[Sequence[_Work]], tolerance: Tolerance, kernel: ModuleType | None, threads: int
) -> Generator[_Event | None, None, None]:
    """What the threads tell, and None from time to time while they tell nothing."""
    if min(threads, len(tasks)) < 2:
        desk = _Desk(tolerance, kernel)
        for task in tasks:
            yield from desk.events(task)
        return
    left = deque(tasks)
    told: SimpleQueue[_Event | BaseException | None] = SimpleQueue()
    stop = threading.Event()

    def serve() -> None:
        try:
            desk = _Desk(tolerance, kernel)
            while (task := _next(left)) is not None:
                for event in desk.events(task):
                    told.put(event)
                    if stop.is_set():
                        return
        except BaseException as error:
            told.put(error)

    servers = [
        threading.Thread(target=serve, name="loupe-measure", daemon=True)
        for _ in range(min(threads, len(tasks)))
    ]
    awaited = sum(map(len, tasks))
    try:
        for server in servers:
            server.start()
        while awaited:
            try:
                event = told.get(timeout=PATIENCE)
            except Empty:
                event = None
            if isinstance(event, BaseException):
                raise event
            if event is not None:
                awaited -= event.ends
            yield event
    finally:
        stop.set()
        for server in servers:
            server.join()


def _next(left: deque[Sequence[_Work]]) -> Sequence[_Work] | None:
    try:
        return left.popleft()
    except IndexError:
        return None


class _Desk:
    """Where one thread works."""

    def __init__(self, tolerance: Tolerance, kernel: ModuleType | None) -> None:
        self._sums = BlockSums(tolerance)
        self._runs = None if kernel is None else Runs(kernel, self._sums)

    def events(self, task: Sequence[_Work]) -> Iterator[_Event]:
        for work in task:
            if self._runs is not None and work.runs and suits_kernel(work.a, work.b):
                part = self._runs.part(work.a, work.b, work.start, work.stop)
                yield _Event(work.index, work.stop - work.start, part, ends=True)
            else:
                yield from self._by_torch(work)

    def _by_torch(self, work: _Work) -> Iterator[_Event]:
        a, b = work.a, work.b
        if work.runs:
            a, b = (slice_of(run, work.start, work.stop) for run in (a, b))
        numel, whole = 0, PartialSums()
        for count, part in self._sums.parts(a, b):
            whole += part
            numel += count
            if numel >= TELL:
                yield _Event(work.index, numel, whole, ends=False)
                numel, whole = 0, PartialSums()
        yield _Event(work.index, numel, whole, ends=True)
