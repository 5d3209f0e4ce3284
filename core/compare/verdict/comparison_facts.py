"""A comparison's rows, sorted into the groups that the sentences mention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.compare.comparison import PairedBy, Row, State
from core.compare.overall_numbers import Overall, has_floats, is_statistic, overall
from core.compare.tensor_numbers import Numbers
from core.compare.verdict.besides_tensors import NOTHING_BESIDE, Beside
from core.wording import of_tensors


@dataclass(frozen=True, slots=True)
class Facts:
    """The rows of a comparison, in groups.

    `shared` are the rows with a tensor in both files. Each is in `same` (under any key), `changed`,
    `recast` or `reshaped`. `renamed` are the rows of `same` that have another key in B; `viewed`
    are those that are transposed, split or joined in B. `weights` are the changed and recast
    floating tensors without BatchNorm's statistics, and `statistics` the changed ones among these.
    `complete` says that every changed and every recast row has numbers. `beside` is what is known
    of the files besides these tensors.
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
    beside: Beside = NOTHING_BESIDE

    @property
    def differing(self) -> tuple[Row, ...]:
        """The shared rows that are not the same, in the order of `shared`."""
        keys = {row.key for row in (*self.changed, *self.recast, *self.reshaped)}
        return tuple(row for row in self.shared if row.key in keys)

    @property
    def by_checksum(self) -> int:
        """How many of the same rows were not read, because their checksums are equal."""
        return sum(row.by_checksum for row in self.same)

    @property
    def the_same(self) -> str:
        """`the same`, or `the same by checksum` where that is how some of the same rows are
        known."""
        return "the same by checksum" if self.by_checksum else "the same"

    @property
    def changed_statistics(self) -> frozenset[str]:
        """The keys of the BatchNorm statistics that changed."""
        return frozenset(row.key for row in self.statistics)

    @property
    def all_shared(self) -> bool:
        """Whether every tensor is in both files."""
        return not self.only_a and not self.only_b

    @property
    def same_keys(self) -> bool:
        """Whether A and B have the same keys, but for a prefix of all of them."""
        by_name = (PairedBy.NAME, PairedBy.PREFIX)
        paired = all(row.pair is None or row.pair.by in by_name for row in self.shared)
        return self.all_shared and paired

    @property
    def matrices(self) -> tuple[Row, ...]:
        """The shared floating tensors with two dimensions or more, changed or not.

        Vectors are left out because most are initialized to ones or zeros, so that those of
        unrelated models are alike too.
        """
        weights = [row for row in self.shared if has_floats(row) and not is_statistic(row)]
        return tuple(row for row in weights if row.a is not None and len(row.a.shape) > 1)


def sort_rows(
    rows: Sequence[Row],
    numbers: Mapping[str, Numbers],
    path_a: str = "",
    path_b: str = "",
    beside: Beside = NOTHING_BESIDE,
) -> Facts:
    """Sort the rows into groups; `numbers` are by row key.

    The paths are those of the two state_dicts in their files, such as `model_ema`.
    """
    shared = [row for row in rows if row.a is not None and row.b is not None]
    viewed = [row for row in shared if _is_view(row)]
    viewed_keys = {row.key for row in viewed}
    same = [row for row in shared if row.state in _SAME or row.key in viewed_keys]
    changed = [row for row in shared if row.state is State.CHANGED]
    recast = [row for row in shared if row.state is State.RECAST]
    return Facts(
        rows=tuple(rows),
        numbers=numbers,
        path_a=path_a,
        path_b=path_b,
        shared=tuple(shared),
        same=tuple(same),
        renamed=tuple(row for row in same if _is_renamed(row) and row.key not in viewed_keys),
        viewed=tuple(viewed),
        changed=tuple(changed),
        recast=tuple(recast),
        reshaped=tuple(r for r in shared if r.state is State.RESHAPED and r.key not in viewed_keys),
        weights=tuple(r for r in (*changed, *recast) if has_floats(r) and not is_statistic(r)),
        statistics=tuple(row for row in changed if is_statistic(row)),
        only_a=tuple(row for row in rows if row.b is None),
        only_b=tuple(row for row in rows if row.a is None),
        complete=all(row.key in numbers for row in (*changed, *recast)),
        overall=overall(rows, numbers),
        beside=beside,
    )


_SAME = (State.SAME, State.RENAMED)


def _is_view(row: Row) -> bool:
    """Whether B has the same elements, but transposed, split or joined."""
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
    return f"{of_tensors(differing, total)} changed"
