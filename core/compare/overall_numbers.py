"""The numbers of many tensors taken together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.checkpoint import Quantized, TensorEntry
from core.compare.comparison import Row
from core.compare.tensor_numbers import Numbers
from core.keys import STATISTICS


@dataclass(frozen=True, slots=True)
class Overall:
    """B minus A of `tensors` tensors as one long vector, over the elements that are finite in both.

    The fields are as in Numbers. `relative_l2` is the norm of the difference over A's norm, and
    `norm_ratio` is B's norm over A's; both are inf where A is all zeros and B is not. `whole` says
    that every tensor that was asked for has numbers.
    """

    tensors: int
    whole: bool
    count: int
    changed: int
    sign_flips: int
    max_abs: float
    relative_l2: float
    cosine: float | None
    norm_ratio: float


def overall(rows: Sequence[Row], numbers: Mapping[str, Numbers]) -> Overall | None:
    """The numbers of all measured weights together; None where none was. `numbers` are by row key.

    Weights are the floating-point and the quantized tensors. BatchNorm's statistics count only
    where nothing else was measured, because a variance may be larger than all weights together.
    """
    floating = [row for row in rows if has_floats(row)]
    weights = [row for row in floating if not is_statistic(row)]
    if not any(row.key in numbers for row in weights):
        weights = floating
    return together(weights, numbers)


def together(rows: Iterable[Row], numbers: Mapping[str, Numbers]) -> Overall | None:
    """The numbers of all given rows that were measured; None where none was."""
    all_rows = list(rows)
    measured = [numbers[row.key] for row in all_rows if row.key in numbers]
    if not measured:
        return None
    aa, bb, dd = (
        math.fsum(norm * norm for norm in norms)
        for norms in zip(*((n.norm_a, n.norm_b, n.norm_difference) for n in measured), strict=True)
    )
    return Overall(
        tensors=len(measured),
        whole=len(measured) == len(all_rows),
        count=sum(n.count for n in measured),
        changed=sum(n.changed for n in measured),
        sign_flips=sum(n.sign_flips for n in measured),
        max_abs=max(n.max_abs for n in measured),
        relative_l2=_ratio(dd, aa),
        cosine=_cosine(aa, bb, dd),
        norm_ratio=_ratio(bb, aa),
    )


def has_floats(row: Row) -> bool:
    """Whether both sides have the tensor in the same shape, and it `stands_for_floats` in both."""
    if row.a is None or row.b is None or row.a.shape != row.b.shape:
        return False
    return stands_for_floats(row.a) and stands_for_floats(row.b)


def is_statistic(row: Row) -> bool:
    """Whether the key ends in the name of one of BatchNorm's buffers."""
    return row.key.rpartition(".")[2] in STATISTICS


def stands_for_floats(entry: TensorEntry) -> bool:
    """Whether a tensor is floating-point, complex or quantized."""
    dtype = entry.dtype
    return dtype.startswith(("float", "bfloat", "complex")) or isinstance(entry.form, Quantized)


def _ratio(part: float, whole: float) -> float:
    if whole == 0:
        return math.inf if part else 0.0
    return math.sqrt(part / whole)


def _cosine(aa: float, bb: float, dd: float) -> float | None:
    """By the law of cosines, from the squares of the norms of A, B and their difference."""
    if aa == 0 or bb == 0:
        return None
    return max(-1.0, min(1.0, (aa + bb - dd) / (2 * math.sqrt(aa) * math.sqrt(bb))))
