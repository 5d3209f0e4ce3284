"""What people type into a form as one text: lists of parts, lists of labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.errors import FixError


def parts_of(text: str) -> tuple[str, ...]:
    """`q, k, v` as three parts. Raises FixError where there are fewer than two."""
    parts = tuple(part.strip() for part in text.replace("\n", ",").split(",") if part.strip())
    if len(parts) < 2:
        raise FixError("At least two parts are needed.", "Write them like `q, k, v`.")
    return parts


def parts_text(parts: Iterable[str]) -> str:
    """The text that `parts_of` reads."""
    return ", ".join(parts)


def labels_of(text: str) -> tuple[str, ...]:
    """One label a line; empty lines at the end are left out. Raises FixError where none is left."""
    labels = tuple(line.strip() for line in text.rstrip().splitlines())
    if not any(labels):
        raise FixError("The list of classes is empty.", "Write one class a line.")
    return labels


def classes_texts(labels: Sequence[str], rows: Sequence[int]) -> tuple[str, str]:
    """The file's classes and the wanted ones, a line each, as they stand in a form for rows that
    were chosen before.

    Rows without a label are called by their number; what new classes were called is not kept.
    """
    most = max((len(labels), *(row + 1 for row in rows)))
    old = [*labels, *(f"row {row}" for row in range(len(labels), most))]
    new, unknown = [], 0
    for row in rows:
        unknown += row < 0
        new.append(old[row] if row >= 0 else f"new class {unknown}")
    return "\n".join(old), "\n".join(new)


def table_of(pairs: Iterable[Mapping[str, object]]) -> tuple[tuple[str, str], ...]:
    """Rows with `old` and `new` as a table of renames, those without either left out.

    Raises FixError where none is left, or an old key stands twice.
    """
    table: dict[str, str] = {}
    for pair in pairs:
        old, new = (str(pair.get(name) or "").strip() for name in ("old", "new"))
        if not old or not new or old == new:
            continue
        if old in table:
            raise FixError(f"`{old}` stands in the table twice.", "Take one of the rows out.")
        table[old] = new
    if not table:
        raise FixError("The table renames nothing.", "Give at least one key a new name.")
    return tuple(table.items())


def table_from_json(value: object) -> tuple[tuple[str, str], ...]:
    """An object of old keys to new ones, as a JSON file holds it. Raises FixError."""
    if not isinstance(value, Mapping) or not all(
        isinstance(text, str) for pair in value.items() for text in pair
    ):
        raise FixError(
            "This is no table of names.", 'Give JSON such as {"old.weight": "new.weight"}.'
        )
    return table_of([{"old": old, "new": new} for old, new in value.items()])
