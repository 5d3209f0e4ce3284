"""Maps a list of wanted classes to a file's classes, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.wording import count, listed


@dataclass(frozen=True, slots=True)
class ClassMapping:
    """For each new class the row of the old one, −1 for none, as SelectClasses takes them.

    `kept` are the new names that the old list has, `new` those that it does not have, `dropped` the
    old names that no new class takes.
    """

    rows: tuple[int, ...]
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What becomes of the classes."""
        words = [f"{count(len(self.kept))} of {count(len(self.rows))} classes keep their rows"]
        if self.dropped:
            words.append(f"dropped: {listed([*self.dropped])}")
        if self.new:
            words.append(f"new: {listed([*self.new])}")
        return f"{'; '.join(words)}."


def rows_for(old_labels: Sequence[str], new_labels: Sequence[str]) -> ClassMapping:
    """Pair equal names, then names that are equal without case, spaces, hyphens and underscores.

    Each old row goes to at most one new class; of equal names the first ones are paired.
    """
    rows = [-1] * len(new_labels)
    free = set(range(len(old_labels)))
    for same in (str, _plain):
        rows_of: dict[str, list[int]] = {}
        for row in sorted(free, reverse=True):
            rows_of.setdefault(same(old_labels[row]), []).append(row)
        for index, label in enumerate(new_labels):
            if rows[index] < 0 and rows_of.get(same(label)):
                rows[index] = rows_of[same(label)].pop()
                free.discard(rows[index])
    return ClassMapping(
        tuple(rows),
        tuple(label for label, row in zip(new_labels, rows, strict=True) if row >= 0),
        tuple(old_labels[row] for row in sorted(free)),
        tuple(label for label, row in zip(new_labels, rows, strict=True) if row < 0),
    )


def _plain(label: str) -> str:
    return re.sub(r"[\s_-]+", " ", label).strip().casefold()
