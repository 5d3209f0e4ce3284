"""Whether A and B contain the same weights: what an exit status says about a comparison."""

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
    """Whether A and B contain the same tensors under the same keys, and no others.

    Tensors that are the same by checksum count as the same; damaged ones never do.
    `close` are numbers by row key, measured with a tolerance: with them, a changed or recast tensor
    counts as the same where every element is within the tolerance. With `ignore_names`, keys may
    differ.
    """
    return all(_alike(row, close or {}, ignore_names=ignore_names) for row in rows)


def _alike(row: Row, close: Mapping[str, Numbers], *, ignore_names: bool) -> bool:
    if row.damaged or (row.key_a != row.key_b and not ignore_names):
        return False
    match row.state:
        case State.SAME:
            return True
        case State.RENAMED:
            return ignore_names
        case State.CHANGED | State.RECAST:
            return row.key in close and close[row.key].close
    return False
