"""A against B, a row a key: what is the same, what changed, and how that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from core.checkpoint import (
    ITEMSIZES,
    PACKED,
    STRIDED,
    StateDict,
    TensorEntry,
    arrangement,
    parts,
    ties,
)
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
from core.compare.pairing.entry_views import cast, castable
from core.compare.pairing.pair_entries import pair
from core.compare.pairing.same_content import covers_its_record
from core.compare.verdict.judgement import change_sentence
from core.progress import Progress

CHUNK_BYTES = 1 << 20
"""Bytes read at once from each file where bytes are compared."""


def compare(
    a: StateDict,
    b: StateDict,
    pairing: Pairing | None = None,
    *,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two state_dicts; `pairing` is what `pair` found for them, or None to find it here.

    Where both files keep checksums, no tensor is read; else the bytes are, and so are those of
    tensors of which one may be the other in another dtype; `progress` counts them.
    Raises SourceError where they are gone, and Cancelled.
    """
    pairing = pairing or pair(a, b, progress=progress)
    found = [(one, *_judge(one.a, one.b)) for one in pairing.pairs]
    reads = {
        one.key: two
        for one, state, evidence in found
        if (two := _to_compare(one, state, evidence)) is not None
    }
    total = sum(two[0].nbytes for two in reads.values())
    done = 0
    judged: dict[str, Row] = {}
    for one, known, evidence in found:
        same = known is State.SAME
        if one.key in reads:
            same = True
            for nbytes, alike in _equal_pieces(*reads[one.key]):
                same = same and alike
                if progress is not None:
                    progress.report(done + nbytes, total, one.key)
                if not same:
                    break
            done += reads[one.key][0].nbytes
        by_bytes = State.SAME if same else State.CHANGED
        state = by_bytes if evidence is Evidence.BYTES else known
        judged[one.key] = Row(
            one.key,
            one.a.key,
            one.b.key,
            _told(one, state),
            evidence,
            one.a,
            one.b,
            one,
            _note(one, state, same=same),
        )
    rows = _in_order(a, b, pairing, judged)
    counts = Counter(row.state for row in rows)
    return Comparison(
        tuple(rows),
        {state: counts[state] for state in State},
        change_sentence(rows),
        pairing,
        tie_notes(a, b, pairing),
    )


def bytes_to_read(pairing: Pairing) -> int:
    """The bytes of A that a comparison would read at most, and as many of B; 0: it is instant."""
    return sum(
        two[0].nbytes
        for one in pairing.pairs
        if (two := _to_compare(one, *_judge(one.a, one.b))) is not None
    )


def _to_compare(
    one: Pair, state: State, evidence: Evidence
) -> tuple[TensorEntry, TensorEntry] | None:
    """The two whose bytes must be read: as they are, or the wider one cast to the narrower."""
    if evidence is Evidence.BYTES:
        return one.a, one.b
    if state is not State.RECAST or not (one.a.numel and castable(one.a) and castable(one.b)):
        return None
    if ITEMSIZES[one.a.dtype] < ITEMSIZES[one.b.dtype]:
        return one.a, cast(one.b, one.a.dtype)
    return cast(one.a, one.b.dtype), one.b


def _told(one: Pair, state: State) -> State:
    """The state as it is shown: the same elements elsewhere are renamed, or reshaped."""
    if state is not State.SAME or one.by in (PairedBy.NAME, PairedBy.PREFIX):
        return State.RESHAPED if state is State.SAME and (one.view_a or one.view_b) else state
    return State.RENAMED


def _note(one: Pair, state: State, *, same: bool) -> str:
    views = " and ".join(
        f"{view} of {side}" for view, side in ((one.view_a, "A"), (one.view_b, "B")) if view
    )
    told = [f"compared with {views}"] if views else []
    if state is State.RECAST and castable(one.a) and castable(one.b):
        narrow = min((one.b, one.a), key=lambda entry: ITEMSIZES[entry.dtype])
        told.append(f"{'equal' if same else 'not equal'} after a cast to {narrow.dtype}")
    return "; ".join(told)


def _in_order(a: StateDict, b: StateDict, pairing: Pairing, judged: Mapping[str, Row]) -> list[Row]:
    """A's order; a tensor of B alone follows the one that it follows in B."""
    of_a: dict[str, list[Row]] = {}
    for one in pairing.pairs:
        of_a.setdefault(one.a.key, []).append(judged[one.key])
    paired_b = {one.b.key for one in pairing.pairs}
    short_a = {entry.key: short for short, entry in stripped(a, pairing.strip_a).items()}
    short_b = {entry.key: short for short, entry in stripped(b, pairing.strip_b).items()}
    taken = {*judged, *(short for key, short in short_a.items() if key not in of_a)}
    after: dict[str | None, list[Row]] = {}
    last = None
    for key, entry in b.items():
        if key in paired_b:
            last = key
        else:
            short = short_b[key] if short_b[key] not in taken else f"{short_b[key]} (B)"
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


def _judge(a: TensorEntry, b: TensorEntry) -> tuple[State, Evidence]:
    """State and evidence as far as the contents tell; where the bytes must, the state is open."""
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
    found = {evidence for _, evidence in judged}
    for evidence in (Evidence.BYTES, Evidence.NO_BYTES, Evidence.CHECKSUM, Evidence.RECORD):
        if evidence in found:
            return State.CHANGED if evidence is Evidence.BYTES else State.SAME, evidence
    return State.SAME, Evidence.SHAPE


def _judge_part(a: TensorEntry, b: TensorEntry) -> tuple[State, Evidence]:
    """As for strided tensors; parts whose shapes or dtypes differ are another layout."""
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
    """Whether equal records would give equal tensors; strides of dimensions of 1 don't count."""
    return (
        a.storage_offset == b.storage_offset
        and a.transforms == b.transforms
        and _same_order(a, b)
        and all(
            x == y for x, y, length in zip(a.stride, b.stride, a.shape, strict=True) if length > 1
        )
    )


def _same_order(a: TensorEntry, b: TensorEntry) -> bool:
    """Whether the bytes of a number come in the same order in both records."""
    assert a.record is not None
    assert b.record is not None
    return ITEMSIZES[a.stored_dtype] == 1 or a.record.big_endian == b.record.big_endian


def _equal_pieces(a: TensorEntry, b: TensorEntry) -> Iterator[tuple[int, bool]]:
    """Yield (bytes compared so far, whether the latest piece is equal)."""
    if arrangement(a) != arrangement(b):  # one tensor, cut into other pieces
        yield from _equal_values(a, b)
        return
    done = 0
    for x, y in zip(parts(a), parts(b), strict=True):
        if x.numel == 0 or not (x.records or y.records):
            continue
        runs = _plain_run(x) and _plain_run(y) and _same_order(x, y)
        compared = _equal_runs if runs and x.transforms == y.transforms else _equal_values
        nbytes = 0
        for nbytes, alike in compared(x, y):
            yield done + nbytes, alike
        done += nbytes


def _plain_run(entry: TensorEntry) -> bool:
    return entry.record is not None and entry.is_contiguous and entry.stored_dtype not in PACKED


def _equal_values(a: TensorEntry, b: TensorEntry) -> Iterator[tuple[int, bool]]:
    import torch  # only here: what checksums or plain runs of bytes tell needs no torch

    from core.tensors import blocks

    done = 0
    for x, y in zip(blocks(a), blocks(b), strict=True):
        done += x.numel() * x.element_size()
        yield done, torch.equal(x.view(torch.uint8), y.view(torch.uint8))


def _equal_runs(a: TensorEntry, b: TensorEntry) -> Iterator[tuple[int, bool]]:
    assert a.record is not None
    assert b.record is not None
    itemsize = ITEMSIZES[a.stored_dtype]
    nbytes = a.numel * itemsize
    start_a = a.record.offset + a.storage_offset * itemsize
    start_b = b.record.offset + b.storage_offset * itemsize
    run = min(CHUNK_BYTES, nbytes)
    buffer_a, buffer_b = bytearray(run), bytearray(run)
    for at in range(0, nbytes, run):
        if nbytes - at < run:
            buffer_a, buffer_b = bytearray(nbytes - at), bytearray(nbytes - at)
        a.record.source.read_into(start_a + at, memoryview(buffer_a))
        b.record.source.read_into(start_b + at, memoryview(buffer_b))
        yield min(at + run, nbytes), buffer_a == buffer_b


def tie_notes(a: StateDict, b: StateDict, pairing: Pairing) -> tuple[str, ...]:
    """A sentence for each group of keys that share one storage in A alone, or in B alone."""
    to_b = {one.a.key: one.b.key for one in pairing.pairs}
    to_a = {one.b.key: one.a.key for one in pairing.pairs}
    tied_a = {frozenset(group): group for group in ties(a)}
    tied_b = {frozenset(group): group for group in ties(b)}
    return tuple(
        _sentence(group, side, other, there)
        for groups, others, there, side, other in (
            (tied_a, tied_b, to_b, "A", "B"),
            (tied_b, tied_a, to_a, "B", "A"),
        )
        for keys, group in groups.items()
        if frozenset(there.get(key, key) for key in keys) not in others
    )


def _sentence(group: tuple[str, ...], side: str, other: str, there: dict[str, str]) -> str:
    named = ", ".join(group[:3]) + (f" and {len(group) - 3} more" if len(group) > 3 else "")
    held = sum(key in there for key in group)
    if held == len(group):
        return f"Tied in {side} only: {named} are one tensor there, and stand apart in {other}."
    if held:
        return f"Tied in {side}: {named} are one tensor, of which {other} holds {held} by name."
    return f"Tied in {side}: {named} are one tensor, and {other} has none of them."
