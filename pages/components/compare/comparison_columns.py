"""The columns of the table of a comparison: what each row says, and what it sorts by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isinf

from core.checkpoint import TensorEntry, layout
from core.compare import Numbers, PairedBy, Row
from core.theme import CHANGED_FILL
from core.wording import count, percent, shape, share_text, small
from pages.components.treegrid.table_data import Column


def comparison_columns(
    rows: Sequence[Row],
    numbers: Mapping[str, Numbers],
    shares: Mapping[str, float],
    prefix: str = "",
) -> list[Column]:
    """The columns without those in which every cell is empty. `numbers` and `shares` of the whole
    change are by row key; `prefix` is what the keys leave out."""
    return [
        Column("", "state", [str(row.state) for row in rows], hint="Sort by state"),
        Column("Key", "key", [keys_text(row).removeprefix(prefix) for row in rows]),
        *_filled(
            Column(
                "Shape", "code", [_change(row, lambda a: shape(a.shape)) for row in rows], drop=8
            ),
            Column("Dtype", "muted", [_change(row, lambda a: a.dtype) for row in rows], drop=12),
            Column(
                "Layout",
                "muted",
                _layouts(rows),
                hint="How the elements are stored, if they are not strided",
                drop=10,
            ),
            Column("Parameters", "number", [_numel(row) for row in rows], count, drop=13),
            Column(
                "Δ share",
                "bar",
                [shares.get(row.key) for row in rows],
                _or_dash(share_text),
                hint="The tensor’s share of the whole change of the weights, ‖B − A‖²",
                full=max(shares.values(), default=1),
                colour=CHANGED_FILL,
            ),
            *_number_columns([numbers.get(row.key) for row in rows]),
            Column(
                "Paired",
                "muted",
                [_paired(row) for row in rows],
                hint="How tensors of different names were paired, and with what confidence",
                drop=2,
            ),
            Column(
                "Evidence",
                "muted",
                [str(row.evidence) for row in rows],
                hint="What shows the state",
                drop=17,
            ),
            Column("Note", "muted", [row.note for row in rows], most=260, drop=1),
        ),
    ]


def _number_columns(numbers: Sequence[Numbers | None]) -> list[Column]:
    def each(value: Callable[[Numbers], float | None]) -> list[float | None]:
        return [value(n) if n else None for n in numbers]

    return [
        Column(
            "Rel. L2",
            "number",
            each(lambda n: n.relative_l2),
            _or_dash(_relative),
            hint="The norm of the difference divided by the norm of A; infinite if A is all zeros",
        ),
        Column(
            "Max |Δ|",
            "number",
            each(lambda n: n.max_abs),
            _or_dash(_three_digits),
            hint="The largest absolute difference of an element, |B − A|",
            drop=14,
        ),
        Column(
            "Mean |Δ|",
            "number",
            each(lambda n: n.mean_abs),
            _or_dash(_three_digits),
            hint="The mean absolute difference of an element, |B − A|",
            drop=15,
        ),
        Column(
            "Cosine",
            "number",
            each(lambda n: n.cosine),
            _or_dash(_cosine),
            hint="The cosine of the angle between A and B; 1 is the same direction",
            drop=7,
        ),
        Column(
            "Changed",
            "number",
            each(lambda n: n.changed_share),
            _or_dash(share_text),
            hint="The share of elements whose value differs",
            drop=11,
        ),
        Column(
            "Not close",
            "number",
            each(lambda n: _of_all(n.outside, n)),
            _or_dash(share_text),
            hint="The share of elements outside the tolerance",
            drop=9,
        ),
        Column(
            "Sign flips",
            "number",
            each(lambda n: _of_all(n.sign_flips, n)),
            _or_dash(share_text),
            hint="The share of elements whose sign differs",
            drop=6,
        ),
        Column(
            "NaN, Inf",
            "muted",
            [_not_finite(n) if n else "" for n in numbers],
            hint="The number of elements left out of the numbers, A → B",
            drop=3,
        ),
    ]


def _filled(*columns: Column) -> list[Column]:
    return [column for column in columns if any(value not in (None, "") for value in column.values)]


def _numel(row: Row) -> int:
    entry = row.a or row.b
    return entry.numel if entry else 0


def _or_dash(text: Callable[[float], str]) -> Callable[[float | None], str]:
    return lambda value: "–" if value is None else text(value)


def _three_digits(number: float) -> str:
    return small(number, 3)


def _relative(number: float) -> str:
    return "∞" if isinf(number) else share_text(number)


def _cosine(value: float) -> str:
    """Four digits; 1 and −1 only where it is exactly that."""
    sign = "−" if value < 0 else ""
    size = abs(value)
    if size == 1:
        return f"{sign}1"
    return f"{sign}{min(size, 0.9999):.4f}"


def keys_text(row: Row) -> str:
    """The key, or both keys if they differ by more than a prefix."""
    pair = row.pair
    if pair is None or pair.by in (PairedBy.NAME, PairedBy.PREFIX):
        return row.key
    a, b = (
        f"{key} {view}".strip()
        for key, view in ((row.key_a, pair.view_a), (row.key_b, pair.view_b))
    )
    return f"{a} → {b}"


def _paired(row: Row) -> str:
    pair = row.pair
    if pair is None or pair.by in (PairedBy.NAME, PairedBy.PREFIX):
        return ""
    return f"{pair.by}, {percent(pair.confidence)}"


def _layouts(rows: Sequence[Row]) -> list[str]:
    """The layouts, if some tensor is not strided, else empty texts."""
    if all(entry is None or entry.form is None for row in rows for entry in (row.a, row.b)):
        return [""] * len(rows)
    return [_change(row, layout) for row in rows]


def _change(row: Row, text: Callable[[TensorEntry], str]) -> str:
    """One text if both sides have the same, else `A's → B's`."""
    texts = [text(entry) for entry in (row.a, row.b) if entry is not None]
    return texts[0] if len(set(texts)) == 1 else " → ".join(texts)


def _of_all(elements: int, numbers: Numbers) -> float | None:
    return elements / numbers.count if numbers.count else None


def _not_finite(numbers: Numbers) -> str:
    counts = {"NaN": (numbers.nan_a, numbers.nan_b), "Inf": (numbers.inf_a, numbers.inf_b)}
    return ", ".join(
        f"{count(before)} → {count(after)} {name}"
        for name, (before, after) in counts.items()
        if before or after
    )
