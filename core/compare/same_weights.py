"""Whether A and B hold the same weights: what an exit status says of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.compare.comparison import Row, State
from core.compare.tensor_numbers import Numbers


def alike(
    rows: Iterable[Row],
    close: Mapping[str, Numbers] | None = None,
    *,
    ignore_names: bool = False,
) -> bool:
    """Whether each tensor of A is in B, the same, under the same key, and none else is in B.

    `close` are numbers by row key, taken with a tolerance: then a changed or recast tensor counts
    as the same where every element is within it. `ignore_names` lets keys differ.
    """
    return all(_alike(row, close or {}, ignore_names=ignore_names) for row in rows)


def _alike(row: Row, close: Mapping[str, Numbers], *, ignore_names: bool) -> bool:
    if row.key_a != row.key_b and not ignore_names:
        return False
    match row.state:
        case State.SAME:
            return True
        case State.RENAMED:
            return ignore_names
        case State.CHANGED | State.RECAST:
            return row.key in close and close[row.key].close
    return False
