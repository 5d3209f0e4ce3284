"""A compared with B, one row per key: what is the same, what changed, and how that is known."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from core.checkpoint import (
    ITEMSIZES,
    STRIDED,
    StateDict,
    TensorEntry,
    arrangement,
    lies_in_order,
    parts,
    ties,
)
from core.compare.casts import UNEQUAL, cast_losses, castable, source_is_a
from core.compare.comparison import (
    Comparison,
    Evidence,
    Pair,
    PairedBy,
    Pairing,
    Row,
    State,
    stripped,
)
from core.compare.pairing.pair_entries import pair
from core.compare.pairing.same_content import covers_its_record
from core.compare.verdict.judgement import change_sentence
from core.inspect import RecordChecks
from core.progress import Report, ignore
from core.wording import count, listed

CHUNK_BYTES = 1 << 20
"""Bytes read at once from each file where bytes are compared."""


def compare(
    a: StateDict,
    b: StateDict,
    pairing: Pairing | None = None,
    *,
    checks: RecordChecks | None = None,
    progress: Report = ignore,
) -> Comparison:
    """Compare two state_dicts; `pairing` is the result of `pair`, or None to compute it here.

    Without `checks`, a tensor of which both files have a checksum is not read: equal checksums make
    two tensors the same, with Evidence.CHECKSUM. With them, the bytes are compared instead, and the
    checksums of all tensors of both state_dicts are checked. Tensors without checksums are read in
    any case, and so are those of different dtypes, to see whether a cast makes them equal.
    `progress` counts the bytes of A that are compared. Raises SourceError where the bytes are gone,
    and Cancelled.
    """
    pairing = pairing or pair(a, b, progress=progress)
    trusted = checks is None
    judged_pairs = [
        (paired, *_judge(paired.a, paired.b, trusted=trusted)) for paired in pairing.pairs
    ]
    reads = {
        paired.key: both
        for paired, state, evidence in judged_pairs
        if (both := _to_compare(paired, state, evidence)) is not None
    }
    total = sum(both[0].nbytes for both in reads.values())
    done = 0
    judged: dict[str, Row] = {}
    for paired, known, evidence in judged_pairs:
        same, lost = known is State.SAME, ""
        if paired.key in reads and known is State.RECAST:
            for nbytes, lost in cast_losses(paired.a, paired.b):
                progress(done + nbytes, total, paired.key)
                if lost:
                    break
            same = not lost
            done += paired.a.nbytes
        elif paired.key in reads:
            same = True
            for nbytes, alike in _equal_pieces(*reads[paired.key], checks):
                same = same and alike
                progress(done + nbytes, total, paired.key)
                if not same:
                    break
            done += reads[paired.key][0].nbytes
        by_bytes = State.SAME if same else State.CHANGED
        state = by_bytes if evidence is Evidence.BYTES else known
        judged[paired.key] = Row(
            paired.key,
            paired.a.key,
            paired.b.key,
            _shown_state(paired, state),
            evidence,
            paired.a,
            paired.b,
            paired,
            _note(paired, state, lost, same=same),
            equal_after_cast=state is State.RECAST and same,
            lost="" if lost == UNEQUAL else lost,
        )
    rows = _in_order(a, b, pairing, judged)
    if checks is not None:
        rows = [_checked(row, checks, partial(progress, done, total, row.key)) for row in rows]
    counts = Counter(row.state for row in rows)
    return Comparison(
        tuple(rows),
        {state: counts[state] for state in State},
        change_sentence(rows),
        pairing,
        tie_notes(a, b, pairing),
    )


def bytes_to_read(pairing: Pairing, *, trusted: bool = True) -> int:
    """The bytes that a comparison reads at most of A, and as many of B; 0 where it reads none.

    `trusted` says that equal checksums are trusted, as `compare` does without `checks`.
    """
    return sum(
        both[0].nbytes
        for paired in pairing.pairs
        if (both := _to_compare(paired, *_judge(paired.a, paired.b, trusted=trusted))) is not None
    )


def _checked(row: Row, checks: RecordChecks, progress: Callable[[], None]) -> Row:
    """The row with the damage that its tensors have by their checksums."""
    return row.with_damage(
        tuple(
            side
            for side, entry in (("A", row.a), ("B", row.b))
            if entry is not None and checks.is_damaged(entry, lambda _: progress())
        )
    )


def _to_compare(
    paired: Pair, state: State, evidence: Evidence
) -> tuple[TensorEntry, TensorEntry] | None:
    """The two tensors whose bytes must be read; or None."""
    if evidence is Evidence.BYTES:
        return paired.a, paired.b
    if state is not State.RECAST or not (
        paired.a.numel and castable(paired.a) and castable(paired.b)
    ):
        return None
    return paired.a, paired.b


def _shown_state(paired: Pair, state: State) -> State:
    """The state as it is shown: equal elements count as renamed or reshaped where the keys or the
    shapes differ."""
    if state is not State.SAME or paired.by in (PairedBy.NAME, PairedBy.PREFIX):
        return State.RESHAPED if state is State.SAME and (paired.view_a or paired.view_b) else state
    return State.RENAMED


def _note(paired: Pair, state: State, lost: str, *, same: bool) -> str:
    views = " and ".join(
        f"{view} of {side}" for view, side in ((paired.view_a, "A"), (paired.view_b, "B")) if view
    )
    parts_of_note = [f"compared with {views}"] if views else []
    if state is State.RECAST and castable(paired.a) and castable(paired.b):
        narrow = paired.b if source_is_a(paired.a, paired.b) else paired.a
        how = f"{'equal' if same else 'not equal'} after a cast to {narrow.dtype}"
        parts_of_note.append(how if lost in ("", UNEQUAL) else f"other values: {lost}")
    return "; ".join(parts_of_note)


def _in_order(a: StateDict, b: StateDict, pairing: Pairing, judged: Mapping[str, Row]) -> list[Row]:
    """The rows in A's order; a tensor of B alone follows the one that it follows in B."""
    of_a: dict[str, list[Row]] = {}
    for paired in pairing.pairs:
        of_a.setdefault(paired.a.key, []).append(judged[paired.key])
    paired_b = {paired.b.key for paired in pairing.pairs}
    short_a = {entry.key: short for short, entry in stripped(a, pairing.strip_a).items()}
    short_b = {entry.key: short for short, entry in stripped(b, pairing.strip_b).items()}
    used = {*judged, *(short for key, short in short_a.items() if key not in of_a)}
    after: dict[str | None, list[Row]] = {}
    last = None
    for key, entry in b.items():
        if key in paired_b:
            last = key
        else:
            short = short_b[key] if short_b[key] not in used else f"{short_b[key]} (B)"
            row = Row(short, None, key, State.ONLY_B, Evidence.KEY, None, entry)
            after.setdefault(last, []).append(row)
    rows = after.pop(None, []) if pairing.pairs else []
    for key, entry in a.items():
        own = [Row(short_a[key], key, None, State.ONLY_A, Evidence.KEY, entry, None)]
        for row in of_a.get(key, own):
            rows.append(row)
            rows.extend(after.pop(row.key_b, []) if row.key_b is not None else [])
    for rest in after.values():
        rows.extend(rest)
    return rows


def _judge(a: TensorEntry, b: TensorEntry, *, trusted: bool) -> tuple[State, Evidence]:
    """State and evidence without reading. Where the evidence is BYTES, the state is not decided
    yet; where checksums are not `trusted`, it is so in place of CHECKSUM."""
    state, evidence = _judge_unread(a, b)
    if evidence is Evidence.CHECKSUM and not trusted:
        return State.CHANGED, Evidence.BYTES
    return state, evidence


def _judge_unread(a: TensorEntry, b: TensorEntry) -> tuple[State, Evidence]:
    if a.form is None and b.form is None:
        return _judge_strided(a, b)
    if a.shape != b.shape:
        return State.RESHAPED, Evidence.SHAPE
    if a.dtype != b.dtype:
        return State.RECAST, Evidence.DTYPE
    if arrangement(a) != arrangement(b):
        in_pieces = arrangement(a)[0] == arrangement(b)[0] == STRIDED and a.records and b.records
        return State.CHANGED, Evidence.BYTES if in_pieces else Evidence.LAYOUT
    judged = [_judge_part(x, y) for x, y in zip(parts(a), parts(b), strict=True)]
    for state, evidence in judged:
        if state is not State.SAME and evidence is not Evidence.BYTES:
            return State.CHANGED, evidence
    kinds_of_evidence = {evidence for _, evidence in judged}
    for evidence in (Evidence.BYTES, Evidence.NO_BYTES, Evidence.CHECKSUM, Evidence.RECORD):
        if evidence in kinds_of_evidence:
            return State.CHANGED if evidence is Evidence.BYTES else State.SAME, evidence
    return State.SAME, Evidence.SHAPE


def _judge_part(a: TensorEntry, b: TensorEntry) -> tuple[State, Evidence]:
    """As for strided tensors, but different shapes or dtypes of parts count as a different
    layout."""
    state, evidence = _judge_strided(a, b)
    return state, Evidence.LAYOUT if state in (State.RESHAPED, State.RECAST) else evidence


def _judge_strided(a: TensorEntry, b: TensorEntry) -> tuple[State, Evidence]:
    if a.shape != b.shape:
        return State.RESHAPED, Evidence.SHAPE
    if a.dtype != b.dtype:
        return State.RECAST, Evidence.DTYPE
    if a.numel == 0:
        return State.SAME, Evidence.SHAPE
    if a.record is None or b.record is None:
        return (State.SAME if a.record is b.record else State.CHANGED), Evidence.NO_BYTES
    if not _same_view(a, b) or a.record.nbytes != b.record.nbytes:
        return State.CHANGED, Evidence.BYTES
    if a.record.offset == b.record.offset and (
        a.record.source is b.record.source or a.record.source.identity == b.record.source.identity
    ):
        return State.SAME, Evidence.RECORD
    if a.record.crc32 is None or b.record.crc32 is None:
        return State.CHANGED, Evidence.BYTES
    if a.record.crc32 == b.record.crc32:
        return State.SAME, Evidence.CHECKSUM
    return State.CHANGED, Evidence.CHECKSUM if covers_its_record(a) else Evidence.BYTES


def _same_view(a: TensorEntry, b: TensorEntry) -> bool:
    """Whether equal records give equal tensors. Strides of dimensions of size 1 do not matter."""
    return (
        a.storage_offset == b.storage_offset
        and a.transforms == b.transforms
        and _same_order(a, b)
        and all(
            x == y for x, y, length in zip(a.stride, b.stride, a.shape, strict=True) if length > 1
        )
    )


def _same_order(a: TensorEntry, b: TensorEntry) -> bool:
    """Whether the byte order of the numbers is the same in both records."""
    assert a.record is not None
    assert b.record is not None
    return ITEMSIZES[a.stored_dtype] == 1 or a.record.big_endian == b.record.big_endian


def _equal_pieces(
    a: TensorEntry, b: TensorEntry, checks: RecordChecks | None
) -> Iterator[tuple[int, bool]]:
    """Yield (bytes compared so far, whether the latest piece is equal)."""
    if arrangement(a) != arrangement(b):  # the same tensor, split into different pieces
        yield from _equal_values(a, b)
        return
    done = 0
    for x, y in zip(parts(a), parts(b), strict=True):
        if x.numel == 0 or not (x.records or y.records):
            continue
        in_order = lies_in_order(x) and lies_in_order(y) and _same_order(x, y)
        by_bytes = in_order and x.transforms == y.transforms
        nbytes = 0
        for nbytes, alike in _equal_bytes(x, y, checks) if by_bytes else _equal_values(x, y):
            yield done + nbytes, alike
        done += nbytes


def _equal_values(a: TensorEntry, b: TensorEntry) -> Iterator[tuple[int, bool]]:
    import torch  # only here, because checksums and bytes in the same order need no torch

    from core.tensors import element_blocks

    done = 0
    for x, y in zip(element_blocks(a), element_blocks(b), strict=True):
        done += x.numel() * x.element_size()
        yield done, torch.equal(x.view(torch.uint8), y.view(torch.uint8))


def _equal_bytes(
    a: TensorEntry, b: TensorEntry, checks: RecordChecks | None
) -> Iterator[tuple[int, bool]]:
    """As `_equal_pieces`, for equally many elements in C order. Where all are equal, `checks` are
    given the checksum of these bytes, so that they are not read again for it."""
    assert a.record is not None
    assert b.record is not None
    itemsize = ITEMSIZES[a.stored_dtype]
    nbytes = a.numel * itemsize
    start_a = a.record.offset + a.storage_offset * itemsize
    start_b = b.record.offset + b.storage_offset * itemsize
    size = min(CHUNK_BYTES, nbytes)
    buffer_a, buffer_b = bytearray(size), bytearray(size)
    crc32, equal = 0, True
    for at in range(0, nbytes, size):
        if nbytes - at < size:
            buffer_a, buffer_b = bytearray(nbytes - at), bytearray(nbytes - at)
        a.record.source.read_into(start_a + at, memoryview(buffer_a))
        b.record.source.read_into(start_b + at, memoryview(buffer_b))
        equal = equal and buffer_a == buffer_b
        if checks is not None:
            crc32 = zlib.crc32(buffer_a, crc32)
        yield min(at + size, nbytes), equal
    for entry, record in ((a, a.record), (b, b.record)):
        if checks is not None and equal and covers_its_record(entry):
            checks.note(record, crc32)


def tie_notes(a: StateDict, b: StateDict, pairing: Pairing) -> tuple[str, ...]:
    """A sentence for each group of keys that share a storage in A only, or in B only."""
    to_b = {paired.a.key: paired.b.key for paired in pairing.pairs}
    to_a = {paired.b.key: paired.a.key for paired in pairing.pairs}
    tied_a = {frozenset(group): group for group in ties(a)}
    tied_b = {frozenset(group): group for group in ties(b)}
    return tuple(
        _tie_sentence(group, side, other, there)
        for groups, others, there, side, other in (
            (tied_a, tied_b, to_b, "A", "B"),
            (tied_b, tied_a, to_a, "B", "A"),
        )
        for keys, group in groups.items()
        if frozenset(there.get(key, key) for key in keys) not in others
    )


def _tie_sentence(group: tuple[str, ...], side: str, other: str, there: dict[str, str]) -> str:
    named = listed(list(group))
    counterparts = sum(key in there for key in group)
    if counterparts == len(group):
        return f"Tied in {side} only: {named} are one tensor there, and separate in {other}."
    some = count(counterparts) if counterparts else "none"
    return f"Tied in {side}: {named} are one tensor; {other} has {some} of these keys."
