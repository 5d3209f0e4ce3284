"""A comparison's rows in the groups that a sentence speaks of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.compare.comparison import PairedBy, Row, State
from core.compare.overall_numbers import Overall, is_floating, is_statistic, overall
from core.compare.tensor_numbers import Numbers
from core.wording import count
from core.wording import tensors as tensors_


@dataclass(frozen=True, slots=True)
class Facts:
    """The rows, sorted once.

    `shared` stand in both files, and fall apart into `same` (whatever their keys), `changed`,
    `recast` and `reshaped`; `renamed` and `viewed` are those of `same` that B has under another
    key, or transposed, cut or joined. `weights` are the changed and recast ones that are floating
    and no BatchNorm statistics, `statistics` the changed ones that are. `complete` says that each
    changed and each recast row has its numbers.
    """

    rows: tuple[Row, ...]
    numbers: Mapping[str, Numbers]
    path_a: str
    path_b: str
    shared: tuple[Row, ...]
    same: tuple[Row, ...]
    renamed: tuple[Row, ...]
    viewed: tuple[Row, ...]
    changed: tuple[Row, ...]
    recast: tuple[Row, ...]
    reshaped: tuple[Row, ...]
    weights: tuple[Row, ...]
    statistics: tuple[Row, ...]
    only_a: tuple[Row, ...]
    only_b: tuple[Row, ...]
    complete: bool
    overall: Overall | None

    @property
    def differing(self) -> tuple[Row, ...]:
        """The shared rows that are not the same, in order."""
        kept = {row.key for row in (*self.changed, *self.recast, *self.reshaped)}
        return tuple(row for row in self.shared if row.key in kept)

    @property
    def counted_keys(self) -> frozenset[str]:
        """The keys of the BatchNorm statistics that changed."""
        return frozenset(row.key for row in self.statistics)

    @property
    def alone(self) -> bool:
        """Whether no tensor stands in one file only."""
        return not self.only_a and not self.only_b

    @property
    def matrices(self) -> tuple[Row, ...]:
        """The floating weights of two dimensions or more that both have, changed or not: all that
        does not begin as ones or zeros."""
        found = [row for row in self.shared if is_floating(row) and not is_statistic(row)]
        return tuple(row for row in found if row.a is not None and len(row.a.shape) > 1)


def facts(
    rows: Sequence[Row], numbers: Mapping[str, Numbers], path_a: str = "", path_b: str = ""
) -> Facts:
    """Sort the rows; the paths are those of the state_dicts in their files, such as `model_ema`."""
    shared = [row for row in rows if row.a is not None and row.b is not None]
    viewed = [row for row in shared if _is_view(row)]
    seen = {row.key for row in viewed}
    same = [row for row in shared if row.state in _SAME or row.key in seen]
    changed = [row for row in shared if row.state is State.CHANGED]
    recast = [row for row in shared if row.state is State.RECAST]
    return Facts(
        rows=tuple(rows),
        numbers=numbers,
        path_a=path_a,
        path_b=path_b,
        shared=tuple(shared),
        same=tuple(same),
        renamed=tuple(row for row in same if _is_renamed(row) and row.key not in seen),
        viewed=tuple(viewed),
        changed=tuple(changed),
        recast=tuple(recast),
        reshaped=tuple(r for r in shared if r.state is State.RESHAPED and r.key not in seen),
        weights=tuple(r for r in (*changed, *recast) if is_floating(r) and not is_statistic(r)),
        statistics=tuple(row for row in changed if is_statistic(row)),
        only_a=tuple(row for row in rows if row.b is None),
        only_b=tuple(row for row in rows if row.a is None),
        complete=all(row.key in numbers for row in (*changed, *recast)),
        overall=overall(rows, numbers),
    )


_SAME = (State.SAME, State.RENAMED)


def equal_after_cast(row: Row) -> bool:
    """Whether a recast row's values are those of the other dtype, as its note says."""
    return any(part.startswith("equal after a cast") for part in row.note.split("; "))


def _is_view(row: Row) -> bool:
    """Whether B has the tensor's elements transposed, cut or joined, and unchanged."""
    if row.pair is None or not (row.pair.view_a or row.pair.view_b):
        return False
    return row.state in (State.SAME, State.RENAMED, State.RESHAPED)


def _is_renamed(row: Row) -> bool:
    by_name = row.pair is None or row.pair.by in (PairedBy.NAME, PairedBy.PREFIX)
    return row.state is State.RENAMED or (row.key_a != row.key_b and not by_name)


def how_many_changed(facts: Facts) -> str:
    """`every tensor changed`, or `3 of 122 tensors changed`."""
    differing, total = len(facts.differing), len(facts.shared)
    if differing == total:
        return "every tensor changed" if total > 1 else "the one tensor changed"
    return f"{count(differing)} of {tensors_(total)} changed"
