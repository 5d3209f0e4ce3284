"""Reads and writes what a person types into a form: parts, class names, tables of names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from core.errors import FixError


def parts_of(text: str) -> tuple[str, ...]:
    """`q, k, v` as three parts. Raises FixError if there are fewer than two."""
    parts = tuple(part.strip() for part in text.replace("\n", ",").split(",") if part.strip())
    if len(parts) < 2:
        raise FixError("At least two parts are needed.", "Write them like `q, k, v`.")
    return parts


def parts_text(parts: Iterable[str]) -> str:
    """The text that `parts_of` reads."""
    return ", ".join(parts)


def labels_of(text: str) -> tuple[str, ...]:
    """The lines as labels, without empty lines at the end. Raises FixError if none is left."""
    labels = tuple(line.strip() for line in text.rstrip().splitlines())
    if not any(labels):
        raise FixError("The list of classes is empty.", "Write one class on each line.")
    return labels


def classes_texts(labels: Sequence[str], rows: Sequence[int]) -> tuple[str, str]:
    """The texts of a form for rows that were chosen before: the file's classes, the wanted ones.

    Each class is a line. A row without a label is called by its number, and so is a new class,
    since a recipe does not keep its name.
    """
    most = max((len(labels), *(row + 1 for row in rows)))
    old = [*labels, *(f"row {row}" for row in range(len(labels), most))]
    new, unknown = [], 0
    for row in rows:
        unknown += row < 0
        new.append(old[row] if row >= 0 else f"new class {unknown}")
    return "\n".join(old), "\n".join(new)


def table_of(pairs: Iterable[Mapping[str, object]]) -> tuple[tuple[str, str], ...]:
    """Rows with `old` and `new` as pairs (old key, new key); incomplete rows are left out.

    Raises FixError if none is left, or an old key is in two rows.
    """
    table: dict[str, str] = {}
    for pair in pairs:
        old, new = (str(pair.get(name) or "").strip() for name in ("old", "new"))
        if not old or not new or old == new:
            continue
        if old in table:
            raise FixError(f"`{old}` is in the table twice.", "Remove one of the rows.")
        table[old] = new
    if not table:
        raise FixError("The table renames nothing.", "Give at least one key a new name.")
    return tuple(table.items())


def table_from_json(value: object) -> tuple[tuple[str, str], ...]:
    """The pairs of a JSON object of old keys to new keys. Raises FixError."""
    if not isinstance(value, Mapping) or not all(
        isinstance(text, str) for pair in value.items() for text in pair
    ):
        raise FixError(
            "This is not a table of names.", 'Give JSON such as {"old.weight": "new.weight"}.'
        )
    return table_of([{"old": old, "new": new} for old, new in value.items()])
