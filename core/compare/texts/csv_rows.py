"""A comparison as CSV, one line per tensor."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

from core.checkpoint import TensorEntry
from core.compare.comparison import Pair, Row
from core.compare.run.training_run import Run
from core.compare.tensor_numbers import Numbers

COLUMNS = (
    "key",
    "state",
    "evidence",
    "key_a",
    "key_b",
    "shape_a",
    "shape_b",
    "dtype_a",
    "dtype_b",
    "parameters",
    "pair",
    "confidence",
    "why",
    "view_a",
    "view_b",
    "note",
    "max_abs",
    "mean_abs",
    "relative_l2",
    "cosine",
    "changed_elements",
    "changed_share",
    "outside_tolerance",
    "sign_flips",
    "nan_a",
    "nan_b",
    "inf_a",
    "inf_b",
    "change_share",
)


def comparison_csv(
    rows: Iterable[Row], numbers: Mapping[str, Numbers], shares: Mapping[str, float] | None = None
) -> str:
    """The rows below a header (COLUMNS), with `numbers` by row key; shapes read `64x3x7x7`.

    `shares` are those of the whole change by row key, from 0 to 1 (see ChangeShares).
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        entry = row.a or row.b
        writer.writerow(
            [
                without_formula(row.key),
                row.state,
                row.evidence,
                without_formula(row.key_a or ""),
                without_formula(row.key_b or ""),
                *(_shape(entry_of_side) for entry_of_side in (row.a, row.b)),
                *(entry_of_side.dtype if entry_of_side else "" for entry_of_side in (row.a, row.b)),
                entry.numel if entry else "",
                *_pair(row.pair),
                without_formula(row.note),
                *_numbers(numbers.get(row.key)),
                _cell((shares or {}).get(row.key)),
            ]
        )
    return out.getvalue()


def without_formula(text: str) -> str:
    """The text, with a leading apostrophe where a spreadsheet would run it as a formula.

    Keys come from untrusted files (OWASP, CSV injection).
    """
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _shape(entry: TensorEntry | None) -> str:
    return "x".join(str(length) for length in entry.shape) if entry else ""


def _pair(pair: Pair | None) -> list[float | str]:
    if pair is None:
        return [""] * 5
    return [pair.by, pair.confidence, *map(without_formula, (pair.why, pair.view_a, pair.view_b))]


def _numbers(numbers: Numbers | None) -> list[float | int | str]:
    if numbers is None:
        return [""] * 12
    return [
        numbers.max_abs,
        numbers.mean_abs,
        numbers.relative_l2,
        "" if numbers.cosine is None else numbers.cosine,
        numbers.changed,
        numbers.changed_share,
        numbers.outside,
        numbers.sign_flips,
        numbers.nan_a,
        numbers.nan_b,
        numbers.inf_a,
        numbers.inf_b,
    ]


def run_csv(run: Run) -> str:
    """A run as CSV, one line per tensor below a header.

    A line has the tensor's norm in each checkpoint, its relative change (L2) from each to the next,
    and the name of the first checkpoint with NaN or infinities. Unknown values are empty. The last
    line, `(all weights)`, has the changes of the whole model.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    norms = [f"norm in {name}" for name in run.names]
    writer.writerow(["key", *norms, *(f"change to {name}" for name in run.names[1:]), "first_nan"])
    for row in run.rows:
        first = "" if row.first_nan is None else without_formula(run.names[row.first_nan])
        writer.writerow([without_formula(row.key), *map(_cell, (*row.norms, *row.changes)), first])
    totals = [_cell(step.relative_l2) for step in run.steps]
    writer.writerow(["(all weights)", *[""] * len(run.names), *totals, ""])
    return out.getvalue()


def _cell(value: float | None) -> float | str:
    return "" if value is None else value
