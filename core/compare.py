"""A against B, a row a key: what is the same, what changed, and how that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from core.change_sentence import change_sentence
from core.checkpoint.entries import ITEMSIZES, PACKED, StateDict, TensorEntry
from core.comparison import Comparison, Evidence, Row, State, stripped
from core.jobs import Progress
from core.layouts import STRIDED, arrangement, parts

CHUNK_BYTES = 1 << 20
"""Bytes read at once from each file where bytes are compared."""


def compare(
    a: StateDict,
    b: StateDict,
    *,
    strip_a: str = "",
    strip_b: str = "",
    progress: Progress | None = None,
) -> Comparison:
    """Compare two state_dicts, with a prefix stripped from the keys of each.

    Where both files keep checksums, no tensor is read; else the bytes are, and `progress` counts
    them. Raises SourceError where they are gone, and Cancelled.
    """
    judged = [
        (key, entry_a, entry_b, *_judge(entry_a, entry_b))
        for key, entry_a, entry_b in _pairs(a, b, strip_a, strip_b)
    ]
    total = sum(
        entry_a.nbytes
        for _, entry_a, _, _, evidence in judged
        if entry_a is not None and evidence is Evidence.BYTES
    )
    done = 0
    rows = []
    for key, entry_a, entry_b, known, evidence in judged:
        state = known
        if evidence is Evidence.BYTES and entry_a is not None and entry_b is not None:
            same = True
            for nbytes, alike in _equal_pieces(entry_a, entry_b):
                same = same and alike
                if progress is not None:
                    progress.report(done + nbytes, total, key)
                if not same:
                    break
            state = State.SAME if same else State.CHANGED
            done += entry_a.nbytes
        rows.append(
            Row(
                key,
                entry_a.key if entry_a else None,
                entry_b.key if entry_b else None,
                state,
                evidence,
                entry_a,
                entry_b,
            )
        )
    counts = Counter(row.state for row in rows)
    return Comparison(tuple(rows), {state: counts[state] for state in State}, change_sentence(rows))


def bytes_to_read(a: StateDict, b: StateDict, *, strip_a: str = "", strip_b: str = "") -> int:
    """The bytes of A that a comparison would read at most, and as many of B; 0: it is instant."""
    return sum(
        entry_a.nbytes
        for _, entry_a, entry_b in _pairs(a, b, strip_a, strip_b)
        if entry_a is not None and _judge(entry_a, entry_b)[1] is Evidence.BYTES
    )


_Pair = tuple[str, TensorEntry | None, TensorEntry | None]


def _pairs(a: StateDict, b: StateDict, strip_a: str, strip_b: str) -> list[_Pair]:
    """A's order; a tensor of B alone follows the one that it follows in B."""
    in_a, in_b = stripped(a, strip_a), stripped(b, strip_b)
    after: dict[str | None, list[str]] = {}
    last = None
    for key in in_b:
        if key in in_a:
            last = key
        else:
            after.setdefault(last, []).append(key)
    if last is None:
        return [
            *((key, entry, None) for key, entry in in_a.items()),
            *((key, None, entry) for key, entry in in_b.items()),
        ]
    pairs: list[_Pair] = [(key, None, in_b[key]) for key in after.get(None, ())]
    for key, entry in in_a.items():
        pairs.append((key, entry, in_b.get(key)))
        pairs.extend((own, None, in_b[own]) for own in after.get(key, ()))
    return pairs


def _judge(a: TensorEntry | None, b: TensorEntry | None) -> tuple[State, Evidence]:
    """State and evidence as far as the keys tell; where the bytes must, the state is open."""
    if a is None:
        return State.ONLY_B, Evidence.KEY
    if b is None:
        return State.ONLY_A, Evidence.KEY
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
    return State.CHANGED, Evidence.CHECKSUM if _covers_its_record(a) else Evidence.BYTES


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


def _covers_its_record(entry: TensorEntry) -> bool:
    """Whether each byte of the record belongs to just one element, whatever their order."""
    if entry.record is None or entry.storage_offset:
        return False
    step = 1
    for stride, length in sorted(zip(entry.stride, entry.shape, strict=True)):
        if length == 1:
            continue
        if stride != step:
            return False
        step *= length
    return step * ITEMSIZES[entry.stored_dtype] == entry.record.nbytes


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
    return entry.record is not None and _is_contiguous(entry) and entry.stored_dtype not in PACKED


def _equal_values(a: TensorEntry, b: TensorEntry) -> Iterator[tuple[int, bool]]:
    import torch  # only here: what checksums or plain runs of bytes tell needs no torch

    from core.elements import blocks

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


def _is_contiguous(entry: TensorEntry) -> bool:
    step = 1
    for stride, length in zip(reversed(entry.stride), reversed(entry.shape), strict=True):
        if length == 1:
            continue
        if stride != step:
            return False
        step *= length
    return True
