"""A comparison in a sentence or two: what B is beside A."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.compare.numbers import Numbers
from core.compare.verdict import verdict
from core.compare.words import Row


def change_sentence(rows: Sequence[Row], numbers: Mapping[str, Numbers] | None = None) -> str:
    """`verdict`'s sentence; without numbers, what keys, checksums and bytes tell."""
    return verdict(rows, numbers).sentence
