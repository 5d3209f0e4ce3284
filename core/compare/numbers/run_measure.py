"""Up to eight checkpoints of one run: how each tensor moved, and where a NaN first appeared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from core.checkpoint import StateDict, TensorEntry
from core.compare.comparison import Pair, PairedBy, Pairing, State, stripped
from core.compare.measurability import comparable, is_read_by_itself
from core.compare.numbers.measure import differences
from core.compare.overall_numbers import stands_for_floats
from core.compare.pairing.common_prefix import prefix_pairing
from core.compare.rows import bytes_to_read, compare
from core.compare.run.run_summary import run_sentence
from core.compare.run.training_run import MAX_CHECKPOINTS, Run, RunRow, RunStep
from core.compare.tensor_numbers import Numbers
from core.errors import LoupeError
from core.inspect import RecordChecks
from core.keys import STATISTICS
from core.progress import Report, ignore


def measure_run(
    state_dicts: Sequence[StateDict],
    names: Sequence[str],
    *,
    progress: Report = ignore,
    so_far: Callable[[Run], None] | None = None,
) -> Run:
    """Follow every tensor through two to eight state_dicts in their order; `names` are their
    labels.

    Tensors are paired by key, without prefixes that only some files have, such as `module.`.
    Of large checkpoints, tensors with equal checksums are read once, for their norm; all others
    twice, in bounded memory. The checksum of what is read is checked. `progress` counts elements.
    `so_far` is called with the incomplete Run after each step, and before an error or a cancel ends
    the work; what is not measured yet is None in it.

    Raises LoupeError for fewer or more state_dicts, SourceError where the bytes are gone, and
    Cancelled.
    """
    if not 2 <= len(state_dicts) <= MAX_CHECKPOINTS or len(names) != len(state_dicts):
        raise LoupeError(
            f"A run consists of 2 to {MAX_CHECKPOINTS} checkpoints, not {len(state_dicts)}.",
            "Choose those between which something happened.",
        )
    tracks = _tracks(state_dicts)
    steps = range(len(state_dicts) - 1)
    checks = RecordChecks()
    trusted = not is_read_by_itself(*state_dicts)
    asked = [_judge(tracks, step, trusted=trusted) for step in steps]
    once = [track.entry(at) for track in tracks for at in track.never_asked()]
    total = sum(track.entry(step).numel for step in steps for track in asked[step])
    shares = _Shares(progress, total + sum(entry.numel for entry in once))
    try:
        for step in steps:
            pairs = [(track.entry(step), track.entry(step + 1)) for track in asked[step]]
            for index, numbers in differences(pairs, checks=checks, progress=shares.next(pairs)):
                asked[step][index].take(step, numbers)
            if so_far is not None:
                so_far(_run(tracks, names, complete=False))
        alone = [(track, at) for track in tracks for at in track.unmeasured()]
        pairs = [(track.entry(at), track.entry(at)) for track, at in alone]
        for index, numbers in differences(pairs, checks=checks, progress=shares.next(pairs)):
            track, at = alone[index]
            track.note(at, numbers.norm_a, numbers.nan_a, numbers.inf_a)
            track.damaged |= {at} if numbers.damaged else set()
    except BaseException:  # also a cancel: the page keeps what was measured
        if so_far is not None:
            so_far(_run(tracks, names, complete=False))
        raise
    return _run(tracks, names, complete=True)


@dataclass(slots=True)
class _Track:
    """What is known about one tensor while the run is measured.

    `damaged` are the checkpoints in which its checksum does not hold, and `by_checksum` the steps
    in which it is the same by checksum.
    """

    key: str
    entries: list[TensorEntry | None]
    damaged: set[int] = field(default_factory=set)
    by_checksum: set[int] = field(default_factory=set)
    asked: list[bool] = field(init=False)
    same: list[bool | None] = field(init=False)
    moved: list[Numbers | None] = field(init=False)
    norms: list[float | None] = field(init=False)
    nans: list[int | None] = field(init=False)
    infs: list[int | None] = field(init=False)

    def __post_init__(self) -> None:
        number = len(self.entries)
        self.asked = [False] * (number - 1)
        self.same, self.moved = [None] * (number - 1), [None] * (number - 1)
        self.norms, self.nans, self.infs = [None] * number, [None] * number, [None] * number

    def entry(self, at: int) -> TensorEntry:
        """The tensor in a checkpoint that contains it."""
        entry = self.entries[at]
        assert entry is not None
        return entry

    def take(self, step: int, numbers: Numbers) -> None:
        """Store the numbers of a step.

        Their norms are over the elements that are finite in both, so they are those of the tensors
        only where all elements are finite.
        """
        self.moved[step] = numbers
        self.same[step] = numbers.changed == 0
        self.damaged |= {step + "AB".index(side) for side in numbers.damaged}
        not_finite = numbers.nan_a + numbers.inf_a + numbers.nan_b + numbers.inf_b
        self.note(step, None if not_finite else numbers.norm_a, numbers.nan_a, numbers.inf_a)
        self.note(step + 1, None if not_finite else numbers.norm_b, numbers.nan_b, numbers.inf_b)

    def note(self, at: int, norm: float | None, nans: int, infs: int) -> None:
        """Store the norm and the counts of NaN and infinities in a checkpoint."""
        self.nans[at], self.infs[at] = nans, infs
        if norm is not None and not nans and not infs:
            self.norms[at] = norm

    def spread(self) -> None:
        """Copy what is known about a checkpoint to its neighbours with the same values."""
        steps = [step for step, same in enumerate(self.same) if same]
        ways = [(step, step + 1) for step in steps] + [(step + 1, step) for step in steps[::-1]]
        for known, other in ways:
            if self.nans[other] is None:
                self.nans[other], self.infs[other] = self.nans[known], self.infs[known]
            if self.norms[other] is None:
                self.norms[other] = self.norms[known]

    def never_asked(self) -> Iterator[int]:
        """One checkpoint for each content that no step measures."""
        last = len(self.asked)
        for start, stop in self._contents():
            before = start > 0 and self.asked[start - 1]
            after = stop <= last and self.asked[stop - 1]
            if not before and not after and comparable(self.entries[start], self.entries[start]):
                yield start

    def unmeasured(self) -> Iterator[int]:
        """One checkpoint for each content whose norm and non-finite elements are both unknown."""
        self.spread()
        for start, _ in self._contents():
            not_finite = self.nans[start] or self.infs[start]
            known = self.norms[start] is not None or not_finite
            if not known and comparable(self.entries[start], self.entries[start]):
                yield start

    def _contents(self) -> Iterator[tuple[int, int]]:
        """The ranges (start, stop) of consecutive checkpoints with the same values."""
        start = 0
        for step, same in enumerate((*self.same, False)):
            if not same:
                yield start, step + 1
                start = step + 1


class _Shares:
    """Reports several measurements as one progress."""

    def __init__(self, progress: Report, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def next(self, pairs: Sequence[tuple[TensorEntry, TensorEntry]]) -> Report:
        """The Report for the next measurement."""
        before = self._done
        self._done += sum(a.numel for a, _ in pairs)
        self._total = max(self._total, self._done)

        def report(done: int, _: int, what: str) -> None:
            self._progress(before + done, self._total, what)

        return report


def _tracks(state_dicts: Sequence[StateDict]) -> list[_Track]:
    """One track per tensor, in the files' order; a tensor that a later file adds follows the one
    that it follows there."""
    aligned = _aligned(state_dicts)
    order: list[str] = []
    for entries in aligned:
        known = set(order)
        after: dict[str | None, list[str]] = {}
        last = None
        for key in entries:
            if key in known:
                last = key
            else:
                after.setdefault(last, []).append(key)
        new = after.pop(None, [])
        order = new + [key_in_order for key in order for key_in_order in (key, *after.get(key, ()))]
    return [_Track(key, [entries.get(key) for entries in aligned]) for key in order]


def _aligned(state_dicts: Sequence[StateDict]) -> list[Mapping[str, TensorEntry]]:
    """The state_dicts without the prefixes that make their keys differ."""
    aligned: list[Mapping[str, TensorEntry]] = []
    union: dict[str, TensorEntry] = {}
    for state_dict in state_dicts:
        entries: Mapping[str, TensorEntry] = state_dict
        prefixes = None
        if union and entries.keys() != union.keys():
            prefixes = prefix_pairing(union, entries)
        if prefixes is not None:
            entries = stripped(entries, prefixes.strip_b)
            if prefixes.strip_a:
                aligned = [stripped(entries_before, prefixes.strip_a) for entries_before in aligned]
                union = stripped(union, prefixes.strip_a)
        aligned.append(entries)
        union = {**entries, **union}
    return aligned


def _judge(tracks: Sequence[_Track], step: int, *, trusted: bool) -> list[_Track]:
    """Store which tensors are the same without reading them, for which equal checksums count where
    they are `trusted`; returns the tracks that must be measured."""
    by_key = {track.key: track for track in tracks}
    pairs = [
        Pair(track.key, a, b, PairedBy.NAME)
        for track in tracks
        if (a := track.entries[step]) is not None and (b := track.entries[step + 1]) is not None
    ]
    unread = [
        pair
        for pair in pairs
        if not bytes_to_read(
            Pairing((pair,), (), (), ()), trusted=trusted or not comparable(pair.a, pair.b)
        )
    ]
    of_a, of_b = StateDict(pair.a for pair in unread), StateDict(pair.b for pair in unread)
    for row in compare(of_a, of_b, Pairing(tuple(unread), (), (), ())).rows:
        track = by_key[row.key]
        track.same[step] = row.state is State.SAME
        if row.by_checksum:
            track.by_checksum.add(step)
    measured = []
    for pair in pairs:
        track = by_key[pair.key]
        if not track.same[step] and comparable(pair.a, pair.b):
            track.asked[step] = True
            measured.append(track)
    return measured


def _run(tracks: Sequence[_Track], names: Sequence[str], *, complete: bool) -> Run:
    weights = {track.key for track in tracks if _has_floats(track) and not _is_statistic(track)}
    weights = weights or {track.key for track in tracks if _has_floats(track)}
    rows = tuple(_row(track, weight=track.key in weights) for track in tracks)
    steps = tuple(_step(tracks, rows, step) for step in range(len(names) - 1))
    sentence = run_sentence(names, rows, steps, complete=complete)
    return Run(tuple(names), rows, steps, sentence, complete)


def _has_floats(track: _Track) -> bool:
    return all(stands_for_floats(entry) for entry in track.entries if entry is not None)


def _is_statistic(track: _Track) -> bool:
    return track.key.rpartition(".")[2] in STATISTICS


def _row(track: _Track, *, weight: bool) -> RunRow:
    track.spread()
    not_finite = [bool(nans or infs) for nans, infs in zip(track.nans, track.infs, strict=True)]
    return RunRow(
        key=track.key,
        shapes=tuple(None if entry is None else entry.shape for entry in track.entries),
        norms=tuple(track.norms),
        changes=tuple(_change(track, step, not_finite) for step in range(len(track.same))),
        nans=tuple(track.nans),
        infs=tuple(track.infs),
        first_nan=not_finite.index(True) if True in not_finite else None,
        weight=weight,
        damaged=tuple(sorted(track.damaged)),
    )


def _change(track: _Track, step: int, not_finite: Sequence[bool]) -> float | None:
    if track.same[step]:
        return 0.0
    numbers = track.moved[step]
    return (
        None if numbers is None or not_finite[step] or not_finite[step + 1] else numbers.relative_l2
    )


def _step(tracks: Sequence[_Track], rows: Sequence[RunRow], step: int) -> RunStep:
    there = [(t.entries[step] is not None, t.entries[step + 1] is not None) for t in tracks]
    same = [track.same[step] for track in tracks]
    return RunStep(
        relative_l2=_relative(tracks, rows, step),
        same=same.count(True),
        changed=same.count(False),
        shared=there.count((True, True)),
        new=there.count((False, True)),
        gone=there.count((True, False)),
        by_checksum=sum(step in track.by_checksum for track in tracks),
    )


def _relative(tracks: Sequence[_Track], rows: Sequence[RunRow], step: int) -> float | None:
    """The relative L2 of a step over all weights as one vector; None where one is unknown."""
    norms, moves = [], []
    for track, row in zip(tracks, rows, strict=True):
        a, b = track.entries[step], track.entries[step + 1]
        if not row.weight or row.lasting or not comparable(a, b):
            continue
        norm, numbers = row.norms[step], track.moved[step]
        if norm is None or row.changes[step] is None:
            return None
        norms.append(norm)
        if numbers is not None:
            moves.append(numbers.norm_difference)
    if not norms:
        return None
    length, move = math.hypot(*norms), math.hypot(*moves)
    if length == 0:
        return math.inf if move else 0.0
    return move / length
