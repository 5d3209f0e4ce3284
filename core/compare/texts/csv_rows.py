"""A comparison as CSV, a line a tensor."""

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
)


def comparison_csv(rows: Iterable[Row], numbers: Mapping[str, Numbers]) -> str:
    """The rows under a header, numbers (by key) where they were taken; shapes read `64x3x7x7`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        entry = row.a or row.b
        writer.writerow(
            [
                plain_text(row.key),
                row.state,
                row.evidence,
                plain_text(row.key_a or ""),
                plain_text(row.key_b or ""),
                *(_shape(each) for each in (row.a, row.b)),
                *(each.dtype if each else "" for each in (row.a, row.b)),
                entry.numel if entry else "",
                *_pair(row.pair),
                plain_text(row.note),
                *_numbers(numbers.get(row.key)),
            ]
        )
    return out.getvalue()


def plain_text(text: str) -> str:
    """Text that a spreadsheet would take for a formula, with a leading apostrophe (OWASP, CSV
    injection): keys come from files that nobody vouches for."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _shape(entry: TensorEntry | None) -> str:
    return "x".join(str(length) for length in entry.shape) if entry else ""


def _pair(pair: Pair | None) -> list[float | str]:
    if pair is None:
        return [""] * 5
    return [pair.by, pair.confidence, *map(plain_text, (pair.why, pair.view_a, pair.view_b))]


def _numbers(found: Numbers | None) -> list[float | int | str]:
    if found is None:
        return [""] * 12
    return [
        found.max_abs,
        found.mean_abs,
        found.relative_l2,
        "" if found.cosine is None else found.cosine,
        found.changed,
        found.changed_share,
        found.outside,
        found.sign_flips,
        found.nan_a,
        found.nan_b,
        found.inf_a,
        found.inf_b,
    ]


def run_csv(run: Run) -> str:
    """A header, then for each tensor its norm in each checkpoint, its relative change (L2) from
    each to the next, and the name of the first checkpoint with a NaN or an infinity. What is not
    known stays empty. The last line, `(all weights)`, has the changes of the whole model."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    norms = [f"norm in {name}" for name in run.names]
    writer.writerow(["key", *norms, *(f"change to {name}" for name in run.names[1:]), "first_nan"])
    for row in run.rows:
        first = "" if row.first_nan is None else plain_text(run.names[row.first_nan])
        writer.writerow([plain_text(row.key), *map(_cell, (*row.norms, *row.changes)), first])
    totals = [_cell(step.relative_l2) for step in run.steps]
    writer.writerow(["(all weights)", *[""] * len(run.names), *totals, ""])
    return out.getvalue()


def _cell(value: float | None) -> float | str:
    return "" if value is None else value
