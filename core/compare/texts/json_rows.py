"""A comparison as one JSON document, for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from core.checkpoint import TensorEntry
from core.compare.change_shares import change_shares
from core.compare.comparison import Comparison, Row
from core.compare.metadata.further_tensors import OtherTensors
from core.compare.metadata.metadata_diff import MetadataChange
from core.compare.sides import Side
from core.compare.tensor_numbers import Numbers, Tolerance
from core.compare.verdict import NOTHING_BESIDE, Beside


def comparison_json(
    comparison: Comparison,
    a: Side,
    b: Side,
    *,
    sentence: str,
    same: bool,
    numbers: Mapping[str, Numbers] | None = None,
    tolerance: Tolerance | None = None,
    metadata: Sequence[MetadataChange] = (),
    beside: Beside = NOTHING_BESIDE,
    others: Sequence[OtherTensors] = (),
) -> dict[str, object]:
    """The JSON document of a comparison.

    It has the `sentence`, `same` (what the exit status says), the facts about both files, `counts`
    by state, every row with its `numbers` (given by row key), the changes besides the tensors, the
    numpy arrays that differ, the other state_dicts, and the notes. A row's `change_share` is its
    share of the whole change, null where it has none (see ChangeShares) or nothing was measured.
    JSON has no infinity, so an infinite `relative_l2` is null.
    """
    shares = change_shares(comparison.rows, numbers).shares if numbers else {}
    return {
        "sentence": sentence,
        "same": same,
        "a": asdict(a),
        "b": asdict(b),
        "counts": {str(state): count for state, count in comparison.counts.items()},
        "tolerance": None if tolerance is None else asdict(tolerance),
        "strip": [comparison.pairing.strip_a, comparison.pairing.strip_b],
        "rows": [
            _row(row, (numbers or {}).get(row.key), shares.get(row.key)) for row in comparison.rows
        ],
        "metadata": [
            {
                "path": change.path,
                "kind": str(change.kind),
                "before": change.before,
                "after": change.after,
            }
            for change in metadata
        ],
        "arrays": {
            "changed": beside.arrays,
            "only_a": beside.arrays_a,
            "only_b": beside.arrays_b,
            "unread": beside.unread,
        },
        "unread_bytes": beside.unread_bytes,
        "records": beside.records,
        "records_by_checksum": beside.records_by_checksum,
        "files": beside.files,
        "files_unread": beside.files_unread,
        "damaged": beside.damaged,
        "others": [
            {**asdict(other), "differ": other.differ, "sentence": other.sentence}
            for other in others
        ],
        "notes": comparison.notes,
    }


def _row(row: Row, numbers: Numbers | None, share: float | None) -> dict[str, object]:
    document: dict[str, object] = {
        "key": row.key,
        "state": str(row.state),
        "evidence": str(row.evidence),
        "a": _tensor(row.key_a, row.a),
        "b": _tensor(row.key_b, row.b),
        "pair": None,
        "note": row.note,
        "damaged": row.damaged,
        "change_share": share,
        "numbers": None if numbers is None else _numbers(numbers),
    }
    if row.pair is not None:
        document["pair"] = {
            "by": str(row.pair.by),
            "confidence": row.pair.confidence,
            "why": row.pair.why,
            "view_a": row.pair.view_a,
            "view_b": row.pair.view_b,
        }
    return document


def _tensor(key: str | None, entry: TensorEntry | None) -> dict[str, object] | None:
    if entry is None:
        return None
    return {"key": key, "shape": entry.shape, "dtype": entry.dtype, "nbytes": entry.nbytes}


def _numbers(numbers: Numbers) -> dict[str, object]:
    values = {**asdict(numbers), "changed_share": numbers.changed_share, "close": numbers.close}
    del values["damaged"]  # the row says so
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
