"""A check of every byte of a checkpoint against the checksums in the file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from core.checkpoint import Checkpoint, Record
from core.checkpoint.containers import LocalFile, Within
from core.inspect.record_checks import RecordChecks
from core.progress import Report, ignore
from core.wording import are, count, counted


@dataclass(frozen=True, slots=True)
class Damage:
    """A record whose bytes are not those that were saved.

    `keys` are the tensors in it, each with the path of its state_dict in front; empty for a record
    without tensors, such as `data.pkl`. `problem` is a sentence.
    """

    record: str
    keys: tuple[str, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `verify`: how many `records` and `nbytes` were read, how many records had a
    checksum and were `checked`, and which are `damaged`."""

    records: int
    checked: int
    nbytes: int
    damaged: tuple[Damage, ...]

    @property
    def sound(self) -> bool:
        """Whether no record is known to be damaged."""
        return not self.damaged


def verify(
    checkpoint: Checkpoint, progress: Report = ignore, checks: RecordChecks | None = None
) -> Verification:
    """Read every record to its last byte, and check those that have a CRC-32.

    safetensors and the legacy format before PyTorch 1.6 store no checksums. Their records are only
    read, which finds bytes that the disk cannot return, but no changed bit. What `checks` knows is
    not read again, and what is found is added to it. Raises SourceError where a file cannot be read
    or has changed meanwhile, CheckpointError where the table of contents is invalid, and whatever
    `progress` raises.
    """
    records = list(checkpoint.records())
    total = sum(record.nbytes for record in records)
    names = _names(records)
    checks = checks or RecordChecks()
    done = 0
    damaged: list[tuple[int, str]] = []
    for index, record in enumerate(records):
        problem = checks.problem(record, partial(_report, progress, done, total, names[index]))
        done += record.nbytes
        if problem is not None:
            damaged.append((index, problem))
    checked = sum(record.crc32 is not None for record in records)
    places = _TensorPlaces(checkpoint) if damaged else None
    return Verification(
        len(records),
        checked,
        total,
        tuple(
            Damage(names[index], places.keys_in(records[index]) if places else (), problem)
            for index, problem in damaged
        ),
    )


def _report(progress: Report, done: int, total: int, name: str, nbytes: int) -> None:
    progress(done + nbytes, total, name)


class _TensorPlaces:
    """Finds the tensors whose bytes lie in a record."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._places = sorted(
            (*_place(record), f"{path}.{entry.key}" if path else entry.key)
            for path, state_dict in checkpoint.state_dicts.items()
            for entry in state_dict.values()
            for record in entry.records
            if record.nbytes
        )

    def keys_in(self, record: Record) -> tuple[str, ...]:
        """The keys of the tensors in a record, or in a file inside it."""
        file, start = _place(record)
        first = bisect_left(self._places, (file, start, ""))
        last = bisect_left(self._places, (file, start + record.nbytes, ""))
        return tuple(dict.fromkeys(key for _, _, key in self._places[first:last]))


def _place(record: Record) -> tuple[int, int]:
    """The outermost file (by `id`), and the offset at which the record begins in it."""
    source, offset = record.source, record.offset
    while isinstance(source, Within):
        offset += source.start
        source = source.whole
    return id(source), offset


def _names(records: Sequence[Record]) -> list[str]:
    """The records' names; where there are several files, each has its file's name in front."""
    files = {
        id(record.source): record.source.name
        for record in records
        if isinstance(record.source, LocalFile)
    }
    if len(files) < 2:
        return [record.name for record in records]
    folders = {file: f"{name}: " for file, name in files.items()}
    return [folders.get(id(record.source), "") + record.name for record in records]


def verification_summary(result: Verification) -> str:
    """A sentence on how many records are damaged, or how many have a correct checksum."""
    records = _records(result.records)
    if result.damaged:
        return (
            f"{count(len(result.damaged))} of {records} {are(len(result.damaged))} damaged: get "
            "the file again from where it came from."
        )
    if not result.checked:
        return (
            f"All {records} can be read to the last byte; this format keeps no checksums, so a "
            "changed bit cannot be seen."
        )
    if result.checked < result.records:
        return (
            f"{count(result.checked)} of {records} have a checksum, and all of these are "
            "correct; the others can be read to the last byte."
        )
    return f"All {records} are sound: their bytes have the checksums that were saved."


def _records(number: int) -> str:
    return counted(number, "record")
