"""A run as CSV, a line a tensor."""

from __future__ import annotations

import csv
import io

from core.compare.csv_rows import plain_text
from core.compare.run_words import Run


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
