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
        Column("", "state", [str(row.state) for row in rows], help="Sort by state"),
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
                help="How the elements are stored, if they are not strided",
                drop=10,
            ),
            Column("Parameters", "number", [_numel(row) for row in rows], count, drop=13),
            Column(
                "Δ share",
                "bar",
                [shares.get(row.key) for row in rows],
                _or_dash(share_text),
                help="The tensor’s share of the whole change of the weights, ‖B − A‖²",
                full=max(shares.values(), default=1),
                colour=CHANGED_FILL,
            ),
            *_number_columns([numbers.get(row.key) for row in rows]),
            Column(
                "Paired",
                "muted",
                [_paired(row) for row in rows],
                help="How tensors of different names were paired, and with what confidence",
                drop=2,
            ),
            Column(
                "Evidence",
                "muted",
                [str(row.evidence) for row in rows],
                help="What shows the state",
                drop=17,
            ),
            Column("Note", "muted", [row.note for row in rows], most=260, drop=1),
        ),
    ]


def _number_columns(numbers: Sequence[Numbers | None]) -> list[Column]:
    def column(
        title: str,
        value: Callable[[Numbers], float | None],
        text: Callable[[float], str],
        help: str,
        drop: int,
    ) -> Column:
        values = [value(n) if n else None for n in numbers]
        return Column(title, "number", values, _or_dash(text), help=help, drop=drop)

    return [
        column(
            "Rel. L2",
            lambda n: n.relative_l2,
            _relative,
            "The norm of the difference divided by the norm of A; infinite if A is all zeros",
            0,
        ),
        column(
            "Max |Δ|",
            lambda n: n.max_abs,
            _three_digits,
            "The largest absolute difference of an element, |B − A|",
            14,
        ),
        column(
            "Mean |Δ|",
            lambda n: n.mean_abs,
            _three_digits,
            "The mean absolute difference of an element, |B − A|",
            15,
        ),
        column(
            "Cosine",
            lambda n: n.cosine,
            _cosine,
            "The cosine of the angle between A and B; 1 is the same direction",
            7,
        ),
        column(
            "Changed",
            lambda n: n.changed_share,
            share_text,
            "The share of elements whose value differs",
            11,
        ),
        column(
            "Not close",
            lambda n: _of_all(n.outside, n),
            share_text,
            "The share of elements outside the tolerance",
            9,
        ),
        column(
            "Sign flips",
            lambda n: _of_all(n.sign_flips, n),
            share_text,
            "The share of elements whose sign differs",
            6,
        ),
        Column(
            "NaN, Inf",
            "muted",
            [_not_finite(n) if n else "" for n in numbers],
            help="The number of elements left out of the numbers, A → B",
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
