"""Which tensor of A stands beside which of B."""

from __future__ import annotations

from collections.abc import Mapping

from core.checkpoint.entries import TensorEntry
from core.compare.prefixes import prefix_pairing
from core.compare.words import NO_CHOICES, Choices, Pair, PairedBy, Pairing, stripped
from core.jobs import Progress


def pair(
    a: Mapping[str, TensorEntry],
    b: Mapping[str, TensorEntry],
    choices: Choices = NO_CHOICES,
    *,
    progress: Progress | None = None,
) -> Pairing:
    """Pair by name, then through a wrapping prefix.

    Raises SourceError where bytes that are needed are gone, and Cancelled.
    """
    strip_a, strip_b = _strips(a, b, choices)
    in_a, in_b = stripped(a, strip_a), stripped(b, strip_b)
    by = PairedBy.PREFIX if strip_a or strip_b else PairedBy.NAME
    pairs = [
        Pair(key, entry, in_b[key], PairedBy.NAME if entry.key == in_b[key].key else by)
        for key, entry in in_a.items()
        if key in in_b
    ]
    taken = {one.key for one in pairs}
    return Pairing(
        tuple(pairs),
        (),
        tuple(entry for key, entry in in_a.items() if key not in taken),
        tuple(entry for key, entry in in_b.items() if key not in taken),
        strip_a,
        strip_b,
    )


def _strips(
    a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry], choices: Choices
) -> tuple[str, str]:
    if choices.strip is not None:
        return choices.strip
    found = prefix_pairing(a, b)
    return (found.strip_a, found.strip_b) if found else ("", "")
