"""One pass over the bytes of a state_dict, in bounded memory, for all checks.

The work is split into tasks of about the same size: a large tensor becomes several, between two
output channels, and many small ones become one. Threads take them one after another. numpy does the
work; torch is imported only for tensors that numpy cannot read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from core.checkpoint import ITEMSIZES, StateDict, TensorEntry, lies_in_order, ties
from core.errors import LoupeError, SourceError
from core.health.element_facts import ElementFacts, FactsCollector
from core.health.findings import health_of
from core.health.float_bits import BY_BITS, Bits, float_bits
from core.health.health import Health, Skipped
from core.health.subjects import Subject, subjects_of
from core.progress import Report, ignore
from core.streaming import (
    FloatBlock,
    Floats,
    cores,
    float_blocks,
    is_contiguous_record,
    shared_events,
)

MOST_BY_ITSELF = 512 << 20
"""Bytes of a state_dict up to which it is scanned without a request: that takes a few tenths of a
second once they are in memory."""

CHUNK = 1 << 19
"""Bytes that a thread looks at at once: they fit in a core's L2 cache, so that only the file's
bytes come from memory."""

TASK = 16 << 20
"""Bytes of a task: a few milliseconds of work."""

TASK_TENSORS = 64
"""The most small tensors in a task."""

WORTH_THREADS = 64 << 20
"""Bytes from which several threads are faster. Of less, most of the time is Python's, and threads
would wait for one another."""

REPORT = 4 << 20
"""Bytes after which a task reports its progress."""


def bytes_to_scan(state_dict: StateDict) -> int:
    """The bytes that `scan` looks at: those of the checked tensors, tied ones once."""
    checked = subjects_of(state_dict).checked
    return sum(_nbytes(reading.subject.entry) for reading in _readings(state_dict, checked))


def scan(state_dict: StateDict, progress: Report = ignore, *, threads: int | None = None) -> Health:
    """Check the values of every tensor, reading each byte once.

    Tied tensors are read once and count under each of their keys, as in `StateDict.numel`. A
    quantized tensor is checked with its scales applied. What cannot be read as numbers is in
    Health.unchecked with the reason. `threads` share the work, by default one per core that this
    process may use where that is worth it; each takes about a megabyte of memory for tensors of any
    size. `progress` counts bytes. Raises SourceError where the bytes are gone, and whatever
    `progress` raises, such as Cancelled.
    """
    subjects = subjects_of(state_dict)
    readings = _readings(state_dict, subjects.checked)
    facts = [ElementFacts(0)] * len(readings)
    problems: dict[int, str] = {}
    done, total, key = 0, sum(_nbytes(reading.subject.entry) for reading in readings), ""
    threads = threads or (cores() if total >= WORTH_THREADS else 1)
    with closing(shared_events(_tasks(readings), _make_worker, threads)) as events:
        for event in events:
            if event is not None:
                done += event.nbytes
                key = readings[event.index].subject.key
                facts[event.index] += event.facts
                if event.problem:
                    problems[event.index] = event.problem
            progress(done, total, key)
    unread = [
        Skipped(key, f"unreadable: {problem}")
        for index, problem in problems.items()
        for key in readings[index].keys
    ]
    by_key = {
        key: facts[index]
        for index, reading in enumerate(readings)
        if index not in problems
        for key in reading.keys
    }
    unchecked = (*subjects.unchecked, *unread)
    return health_of(replace(subjects, unchecked=unchecked), by_key, total)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A tensor that is read once, for all keys that are tied to it."""

    subject: Subject
    keys: list[str]


def _readings(state_dict: StateDict, checked: Sequence[Subject]) -> list[_Reading]:
    """The tensors to read. Of tied ones, that is the first one with output channels; one whose
    channels lie elsewhere is read again."""
    tied = {key: index for index, keys in enumerate(ties(state_dict)) for key in keys}
    readings: dict[Hashable, _Reading] = {}
    first: dict[Hashable, _Reading] = {}
    for subject in sorted(checked, key=lambda subject: subject.channels is None):
        group: Hashable = tied.get(subject.key, subject.key)
        place = group, subject.channels, subject.mask
        reading = readings.get(place)
        if subject.channels is None:
            reading = first.get(group)
        if reading is None:
            reading = readings[place] = _Reading(subject, [])
            first.setdefault(group, reading)
        reading.keys.append(subject.key)
    order = {key: index for index, key in enumerate(state_dict)}
    return sorted(readings.values(), key=lambda reading: order[reading.subject.key])


def _nbytes(entry: TensorEntry) -> int:
    return entry.numel * ITEMSIZES[entry.dtype]


@dataclass(frozen=True, slots=True)
class _Work:
    """Elements `start` to `stop` of a reading; all of them where it is not read `by_bits`."""

    index: int
    subject: Subject
    by_bits: bool
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Event:
    """The facts on some elements of a reading, `nbytes` of them since the last event; `problem`
    says why it cannot be read."""

    index: int
    nbytes: int
    facts: ElementFacts
    problem: str = ""


def _tasks(readings: Sequence[_Reading]) -> list[list[_Work]]:
    tasks: list[list[_Work]] = []
    small: list[_Work] = []
    room = 0
    for index, reading in enumerate(readings):
        subject = reading.subject
        numel, nbytes, by_bits = subject.entry.numel, _nbytes(subject.entry), _is_by_bits(subject)
        if nbytes > TASK // 4:
            step = _step(subject) if by_bits else numel
            tasks.extend(
                [_Work(index, subject, by_bits, start, min(start + step, numel))]
                for start in range(0, numel, step)
            )
            continue
        if room < nbytes or len(small) == TASK_TENSORS:
            small, room = [], TASK
            tasks.append(small)
        small.append(_Work(index, subject, by_bits, 0, numel))
        room -= nbytes
    return tasks


def _is_by_bits(subject: Subject) -> bool:
    """Whether the tensor's bytes are the bits that its checks need."""
    entry = subject.entry
    return (
        is_contiguous_record(entry)
        and lies_in_order(entry, unchanged=True)
        and entry.dtype in BY_BITS
        and subject.mask is None
        and not subject.is_variance
    )


def _step(subject: Subject) -> int:
    """The elements of a task: whole output channels, or all where these come again in each row."""
    step = TASK // ITEMSIZES[subject.entry.dtype]
    if subject.channels is None:
        return step
    if subject.channels.axis:
        return subject.entry.numel
    return max(1, step // subject.channels.run) * subject.channels.run


def _make_worker(_: threading.Event) -> Callable[[Sequence[_Work]], Iterator[_Event]]:
    return _Worker().events


class _Worker:
    """Does tasks; each thread has its own, with its buffer."""

    def __init__(self) -> None:
        self._buffer = np.empty(CHUNK, np.uint8)

    def events(self, task: Sequence[_Work]) -> Iterator[_Event]:
        for work in task:
            blocks = self._bits(work) if work.by_bits else _floats(work)
            dtype = work.subject.entry.dtype
            collector = FactsCollector(
                dtype if work.by_bits else "float64",
                work.subject.channels,
                parts=2 if dtype.startswith("complex") else 1,
                variances=work.subject.is_variance,
            )
            rest = (work.stop - work.start) * ITEMSIZES[dtype]
            nbytes, problem = 0, ""
            try:
                for numel, bits, effective in blocks:
                    collector.add(bits, effective)
                    nbytes += numel * ITEMSIZES[dtype]
                    if nbytes >= REPORT:
                        yield _Event(work.index, nbytes, ElementFacts(0))
                        rest, nbytes = rest - nbytes, 0
            except SourceError:
                raise
            except LoupeError as error:  # damaged scales or parts: the others can be checked
                problem = error.problem
            yield _Event(work.index, rest, collector.facts(), problem)

    def _bits(self, work: _Work) -> Iterator[tuple[int, Bits, None]]:
        """The elements as they are in the file, chunk by chunk."""
        entry = work.subject.entry
        assert entry.record is not None
        itemsize, code = ITEMSIZES[entry.dtype], float_bits(entry.dtype).code
        begin = entry.record.offset + entry.storage_offset * itemsize
        at, end = begin + work.start * itemsize, begin + work.stop * itemsize
        while at < end:
            piece = self._buffer[: min(CHUNK, end - at)]
            entry.record.source.read_into(at, piece.data)
            at += piece.size
            yield piece.size // itemsize, piece.view(code), None


def _floats(work: _Work) -> Iterator[tuple[int, Bits, Bits | None]]:
    """The elements as float64, and those that the mask leaves if there is one, block by block."""
    entry, mask = work.subject.entry, work.subject.mask
    if mask is None:
        for block in float_blocks(entry):
            yield block.numel, _as_bits(block.values), None
        return
    for block, kept in zip(float_blocks(entry), float_blocks(mask), strict=True):
        yield block.numel, _as_bits(block.values), _as_bits(_masked(block, kept))


def _masked(block: FloatBlock, mask: FloatBlock) -> Floats:
    return np.where(mask.values != 0, block.values, 0.0)


def _as_bits(values: Floats) -> Bits:
    return values.view(np.uint64)
