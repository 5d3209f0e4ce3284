"""What differs in the state_dicts besides the compared one: an optimizer's state, an average."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.checkpoint import Checkpoint, StateDict, TensorEntry
from core.compare.comparison import Pair, PairedBy, Pairing, Row, State
from core.compare.pairing.key_kinds import distinct_keys
from core.compare.rows import bytes_to_read, compare
from core.errors import LoupeError
from core.inspect import RecordChecks, stored_bytes
from core.wording import all_tensors, are, count, listed, of_tensors, tensors

MAX_READ = 8 << 20
"""The most bytes that are read of each file, where nobody asks for more; of further tensors, only
checksums are compared."""

MAX_SCALARS = 2000
"""The most tensors of one element whose values are read, which takes 0.1 s."""

MAX_LISTED = 3
"""The most names of scalars that get a sentence."""


@dataclass(frozen=True, slots=True)
class OtherTensors:
    """A state_dict besides the compared one, at a `path` in A, in B or in both.

    `same`, `changed`, `only_a` and `only_b` count tensors by their keys. `by_checksum` counts those
    of `same` whose bytes were not read, and `unread` those that were not compared, because they
    have no checksum and are too large to read. `damaged` are the tensors whose checksum does not
    hold, among those that were read, each with its file: `w in B`. `scalars` are
    sentences on the tensors of one element that changed, such as `step 100 → 250 in all 62
    parameters`.
    """

    path: str
    role: str
    same: int = 0
    changed: int = 0
    only_a: int = 0
    only_b: int = 0
    unread: int = 0
    scalars: tuple[str, ...] = ()
    by_checksum: int = 0
    damaged: tuple[str, ...] = ()

    @property
    def differ(self) -> bool:
        """Whether a tensor is known to differ, or to be damaged."""
        return bool(self.changed or self.only_a or self.only_b or self.damaged)

    @property
    def sentence(self) -> str:
        """The counts in words."""
        shared = self.same + self.changed + self.unread
        if not shared:
            alone = [(self.only_a, "A"), (self.only_b, "B")]
            return ", ".join(f"{tensors(n)} only in {side}" for n, side in alone if n)
        if self.same == shared:
            counts = f"{all_tensors(shared)} {are(shared)} the same"
            if self.by_checksum:
                counts += " by checksum"
        elif self.unread == shared:
            counts = f"{all_tensors(shared)} not compared: the files have no checksums of them"
        else:
            counts = f"{of_tensors(self.changed, shared)} changed"
            if self.by_checksum:
                counts += f", {count(self.by_checksum)} the same by checksum"
            if self.unread:
                counts += f", {count(self.unread)} not compared"
        for number, side in ((self.only_a, "A"), (self.only_b, "B")):
            if number:
                counts += f", {count(number)} only in {side}"
        if self.damaged:
            counts += f"; damaged, by their stored checksums: {listed(list(self.damaged))}"
        return counts


def other_tensors(
    a: Checkpoint,
    b: Checkpoint,
    chosen: tuple[str, str] | None = None,
    *,
    most: int | None = MAX_READ,
    scalars: int = MAX_SCALARS,
    checks: RecordChecks | None = None,
) -> tuple[OtherTensors, ...]:
    """Every state_dict except the `chosen` ones of A and of B (None: the best ones), in A's order.

    State_dicts are paired by path, and their tensors by key. At most `most` bytes are read from
    each file (None: all) to compare tensors; checksums decide which of the others changed. Besides
    these, the values of as many `scalars` are read, which imports torch. `checks` knows the records
    that were read before. Raises SourceError where the bytes are gone.
    """
    path_a, path_b = chosen or (a.best, b.best)
    compared_a, compared_b = a.parts(path_a), b.parts(path_b)
    others = []
    left = sys.maxsize if most is None else most
    checks = checks or RecordChecks()
    for path in dict.fromkeys((*a.state_dicts, *b.state_dicts)):
        in_a, in_b = a.state_dicts.get(path), b.state_dicts.get(path)
        if (path in compared_a or in_a is None) and (path in compared_b or in_b is None):
            continue
        role = (a if in_a is not None else b).roles[path]
        if in_a is None or in_b is None:
            others.append(OtherTensors(path, role, only_a=len(in_a or ()), only_b=len(in_b or ())))
            continue
        in_a, in_b = distinct_keys(in_a, in_b)
        read, trusted, unread, left = _affordable(in_a, in_b, left)
        rows = [*_compared(read, checks), *_compared(trusted, None)]
        changed = [row.pair for row in rows if row.pair and row.state is not State.SAME]
        pairs = [*read, *trusted]
        sentences, scalars = _scalars(changed, pairs, role, scalars)
        shared = len(pairs) + unread
        others.append(
            OtherTensors(
                path,
                role,
                same=len(pairs) - len(changed),
                changed=len(changed),
                only_a=len(in_a) - shared,
                only_b=len(in_b) - shared,
                unread=unread,
                scalars=sentences,
                by_checksum=sum(row.by_checksum for row in rows),
                damaged=tuple(f"{row.key} in {side}" for row in rows for side in row.damaged),
            )
        )
    return tuple(others)


def _affordable(a: StateDict, b: StateDict, left: int) -> tuple[list[Pair], list[Pair], int, int]:
    """The pairs by key to read, those to compare by checksum, how many others are not compared,
    and the bytes still allowed."""
    read, trusted, unread = [], [], 0
    for key, entry in a.items():
        if key not in b:
            continue
        pair = Pair(key, entry, b[key], PairedBy.NAME)
        nbytes = max(stored_bytes(pair.a), stored_bytes(pair.b))
        if nbytes <= left:
            left -= nbytes
            read.append(pair)
        elif not bytes_to_read(Pairing((pair,), (), (), ())):
            trusted.append(pair)
        else:
            unread += 1
    return read, trusted, unread, left


def _compared(pairs: Sequence[Pair], checks: RecordChecks | None) -> tuple[Row, ...]:
    in_a, in_b = (StateDict(getattr(pair, side) for pair in pairs) for side in ("a", "b"))
    return compare(in_a, in_b, Pairing(tuple(pairs), (), (), ()), checks=checks).rows


def _scalars(
    changed: Sequence[Pair], pairs: Sequence[Pair], role: str, left: int
) -> tuple[tuple[str, ...], int]:
    """Sentences on the changed tensors of one element, by the last part of their keys, and how many
    more may be read."""
    by_name: dict[str, list[Pair]] = {}
    for pair in changed:
        if pair.a.numel == pair.b.numel == 1 and pair.a.records and pair.b.records:
            by_name.setdefault(_last(pair.key), []).append(pair)
    all_by_name = Counter(_last(pair.key) for pair in pairs)
    sentences = []
    for name, group in list(by_name.items())[:MAX_LISTED]:
        values, left = _values((entry for pair in group for entry in (pair.a, pair.b)), left)
        known = [
            (values[_mark(pair.a)], values[_mark(pair.b)])
            for pair in group
            if _mark(pair.a) in values and _mark(pair.b) in values
        ]
        if known:
            noun = "parameter" if role == "optimizer" else "tensor"
            sentences.append(
                f"{name} {_went(known)} {_where(len(known), len(group), all_by_name[name], noun)}"
            )
    return tuple(sentences), left


def _went(known: Sequence[tuple[float, float]]) -> str:
    before, after = ([values[side] for values in known] for side in (0, 1))
    return f"{_range(before)} → {_range(after)}"


def _where(known: int, changed: int, total: int, noun: str) -> str:
    nouns = noun if total == 1 else f"{noun}s"
    if known < changed:
        return f"in the {count(known)} of {count(total)} {nouns} that were read"
    if total == 1:
        return f"in its one {noun}"
    return (
        f"in all {count(total)} {nouns}"
        if changed == total
        else f"in {count(changed)} of {count(total)} {nouns}"
    )


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return _number(low) if low == high else f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    return count(int(value)) if value == int(value) else f"{value:.6g}"


def _values(entries: Iterable[TensorEntry], left: int) -> tuple[Mapping[Hashable, float], int]:
    """Mark → number of the tensors of one element, and how many more may be read."""
    import math

    from core.tensors import read_tensor

    values: dict[Hashable, float] = {}
    for entry in entries:
        mark = _mark(entry)
        if mark in values or not left:
            continue
        left -= 1
        try:
            value = read_tensor(entry).reshape(-1)[0].item()
        except (LoupeError, RuntimeError):
            continue
        if isinstance(value, int | float) and math.isfinite(value):
            values[mark] = value
    return values, left


def _mark(entry: TensorEntry) -> Hashable:
    """Equal for scalars that are the same element of one file."""
    record = entry.record
    if record is None or entry.form is not None:
        return id(entry)
    return record.place, entry.dtype, entry.storage_offset, entry.transforms


def _last(key: str) -> str:
    return key.rpartition(".")[2]
