"""What became of the tensors beside the compared ones: an optimizer's state, an average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.checkpoint import Checkpoint, StateDict, TensorEntry
from core.compare.comparison import Pair, PairedBy, Pairing, State
from core.compare.rows import bytes_to_read, compare
from core.errors import LoupeError
from core.wording import all_tensors, count, tensors

MAX_READ = 8 << 20
"""Bytes read of each file where it keeps no checksums; tensors beyond are left open."""

MAX_SCALARS = 200
"""Tensors of one element that are read for their values; those of equal checksum count as one."""

MAX_LISTED = 3
"""Scalars' names that get a sentence."""


@dataclass(frozen=True, slots=True)
class OtherTensors:
    """A state_dict that is not the compared one, at a `path` that A, B or both have.

    `same`, `changed`, `only_a` and `only_b` count tensors by their keys; `unread` are those for
    which neither a checksum nor few enough bytes would tell. `scalars` are sentences on the tensors
    of one element that changed, such as `step 100 → 250 in all 62 parameters`.
    """

    path: str
    role: str
    same: int = 0
    changed: int = 0
    only_a: int = 0
    only_b: int = 0
    unread: int = 0
    scalars: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The counts in words."""
        shared = self.same + self.changed + self.unread
        if not shared:
            alone = [(self.only_a, "A"), (self.only_b, "B")]
            return ", ".join(f"{tensors(n)} only in {side}" for n, side in alone if n)
        if self.same == shared:
            told = f"{all_tensors(shared)} {'is' if shared == 1 else 'are'} the same"
        elif self.unread == shared:
            told = f"{all_tensors(shared)} not compared: the files keep no checksums of them"
        else:
            told = f"{count(self.changed)} of {tensors(shared)} changed"
            if self.unread:
                told += f", {count(self.unread)} not compared"
        for number, side in ((self.only_a, "A"), (self.only_b, "B")):
            if number:
                told += f", {count(number)} only in {side}"
        return told


def other_tensors(
    a: Checkpoint, b: Checkpoint, chosen: tuple[str, str] | None = None
) -> tuple[OtherTensors, ...]:
    """Every state_dict beside the `chosen` of A and of B (None: the best ones), in A's order.

    They go together by their paths, and their tensors by their keys. Checksums tell which changed;
    at most MAX_READ bytes of each file are read where there are none, and a few scalars. Raises
    SourceError where the bytes are gone.
    """
    of_a, of_b = chosen or (a.best, b.best)
    found = []
    left = MAX_READ
    scalars = MAX_SCALARS
    for path in dict.fromkeys((*a.state_dicts, *b.state_dicts)):
        in_a, in_b = a.state_dicts.get(path), b.state_dicts.get(path)
        if (path == of_a or in_a is None) and (path == of_b or in_b is None):
            continue
        role = (a if in_a is not None else b).roles[path]
        if in_a is None or in_b is None:
            found.append(OtherTensors(path, role, only_a=len(in_a or ()), only_b=len(in_b or ())))
            continue
        pairs, unread, left = _affordable(in_a, in_b, left)
        changed = _changed(in_a, in_b, pairs)
        told, scalars = _scalars(changed, pairs, role, scalars)
        shared = len(pairs) + unread
        found.append(
            OtherTensors(
                path,
                role,
                same=len(pairs) - len(changed),
                changed=len(changed),
                only_a=len(in_a) - shared,
                only_b=len(in_b) - shared,
                unread=unread,
                scalars=told,
            )
        )
    return tuple(found)


def _affordable(a: StateDict, b: StateDict, left: int) -> tuple[list[Pair], int, int]:
    """The pairs by key that may be compared, how many are left open, and the bytes left."""
    pairs, unread = [], 0
    for key, entry in a.items():
        if key not in b:
            continue
        one = Pair(key, entry, b[key], PairedBy.NAME)
        nbytes = bytes_to_read(Pairing((one,), (), (), ()))
        if nbytes > left:
            unread += 1
        else:
            left -= nbytes
            pairs.append(one)
    return pairs, unread, left


def _changed(a: StateDict, b: StateDict, pairs: Sequence[Pair]) -> list[Pair]:
    if not pairs:
        return []
    in_a, in_b = (
        StateDict((getattr(one, side) for one in pairs), whole.path)
        for side, whole in (("a", a), ("b", b))
    )
    rows = compare(in_a, in_b, Pairing(tuple(pairs), (), (), ())).rows
    return [row.pair for row in rows if row.pair is not None and row.state is not State.SAME]


def _scalars(
    changed: Sequence[Pair], pairs: Sequence[Pair], role: str, left: int
) -> tuple[tuple[str, ...], int]:
    """Sentences on the changed tensors of one element, by the last part of their keys."""
    by_name: dict[str, list[Pair]] = {}
    for one in changed:
        if one.a.numel == one.b.numel == 1 and one.a.records and one.b.records:
            by_name.setdefault(_last(one.key), []).append(one)
    of = Counter(_last(one.key) for one in pairs)
    told = []
    for name, group in list(by_name.items())[:MAX_LISTED]:
        values, left = _values((entry for one in group for entry in (one.a, one.b)), left)
        known = [
            (values[_mark(one.a)], values[_mark(one.b)])
            for one in group
            if _mark(one.a) in values and _mark(one.b) in values
        ]
        if known:
            noun = "parameter" if role == "optimizer" else "tensor"
            told.append(f"{name} {_went(known)} {_where(len(known), len(group), of[name], noun)}")
    return tuple(told), left


def _went(known: Sequence[tuple[float, float]]) -> str:
    before, after = ([values[side] for values in known] for side in (0, 1))
    return f"{_range(before)} → {_range(after)}"


def _where(known: int, changed: int, of: int, noun: str) -> str:
    nouns = noun if of == 1 else f"{noun}s"
    if known < changed:
        return f"in the {count(known)} of {count(of)} {nouns} that were read"
    if of == 1:
        return f"in its one {noun}"
    return (
        f"in all {count(of)} {nouns}"
        if changed == of
        else f"in {count(changed)} of {count(of)} {nouns}"
    )


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return _number(low) if low == high else f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    return count(int(value)) if value == int(value) else f"{value:.6g}"


def _values(entries: Iterable[TensorEntry], left: int) -> tuple[Mapping[Hashable, float], int]:
    """The numbers in tensors of one element by their marks, and how many more may be read."""
    import math

    from core.tensors import read_tensor

    found: dict[Hashable, float] = {}
    for entry in entries:
        mark = _mark(entry)
        if mark in found or not left:
            continue
        left -= 1
        try:
            value = read_tensor(entry).reshape(-1)[0].item()
        except (LoupeError, RuntimeError):
            continue
        if isinstance(value, int | float) and math.isfinite(value):
            found[mark] = value
    return found, left


def _mark(entry: TensorEntry) -> Hashable:
    """Equal for scalars that have the same checksum and are read alike, and so one value."""
    record = entry.record
    if record is None or record.crc32 is None or entry.form is not None:
        return id(entry)
    return (
        *(record.crc32, record.nbytes, record.big_endian),
        *(entry.dtype, entry.storage_offset, entry.transforms),
    )


def _last(key: str) -> str:
    return key.rpartition(".")[2]
