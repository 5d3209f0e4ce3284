"""Which tensor of A stands beside which of B: by hand, name, prefix, content, likeness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.checkpoint import TensorEntry, ties
from core.compare.comparison import NO_CHOICES, Choices, Pair, PairedBy, Pairing, stripped
from core.compare.pairing.common_prefix import prefix_pairing
from core.compare.pairing.likeness import Samples, likely_pairs
from core.compare.pairing.pair_fused import fused_pairs
from core.compare.pairing.pair_heads import head_pairs
from core.compare.pairing.same_content import content_pairs
from core.compare.pairing.transposes import seen_transposed, transposed_pairs
from core.progress import Progress

TAKEN = 0.8
"""The least confidence of a pair by likeness that is taken; below it is a proposal."""

ROUNDS = 3
"""Times that likeness is asked anew with what it found as neighbours."""


def pair(
    a: Mapping[str, TensorEntry],
    b: Mapping[str, TensorEntry],
    choices: Choices = NO_CHOICES,
    *,
    progress: Progress | None = None,
) -> Pairing:
    """Pair by hand, by name, through a wrapping prefix, by content, and by likeness.

    Of tensors that no name pairs, a few elements are read where checksums don't tell. Raises
    SourceError where these bytes are gone, and Cancelled.
    """
    strip_a, strip_b = _strips(a, b, choices)
    short_a, short_b = stripped(a, strip_a), stripped(b, strip_b)
    left = _Alone(short_a, short_b, choices)
    left.take(_by_hand(a, b, short_a, choices))
    left.take(_by_name(left))
    left.pairs = seen_transposed(left.pairs)
    left.set_ties_aside(a, b)
    if left.a and left.b:
        left.take(content_pairs(left.a, left.b, progress))
    if left.a and left.b:
        left.take(transposed_pairs(left.a, left.b))
    if left.a and left.b:
        left.take(fused_pairs(left.a, left.b))
    proposals = _by_likeness(left, (list(a), list(b)), progress)
    proposals += [one for one in head_pairs(left.a, left.b) if left.is_open(one)]
    taken_a = {one.a.key for one in left.pairs}
    taken_b = {one.b.key for one in left.pairs}
    return Pairing(
        tuple(left.pairs),
        tuple(proposals),
        tuple(entry for entry in a.values() if entry.key not in taken_a),
        tuple(entry for entry in b.values() if entry.key not in taken_b),
        strip_a,
        strip_b,
    )


def _by_likeness(
    left: _Alone, order: tuple[list[str], list[str]], progress: Progress | None
) -> list[Pair]:
    """Take what is likely enough, as long as what was taken makes its neighbours likely too; the
    proposals that are left."""
    samples = Samples()
    found: list[Pair] = []
    for _ in range(ROUNDS):
        if not (left.a and left.b):
            return []
        anchors = [(one.a.key, one.b.key) for one in left.pairs if one.view_a == one.view_b == ""]
        found = likely_pairs(left.a, left.b, anchors, order, samples, progress)
        before = len(left.pairs)
        left.take(one for one in found if one.confidence >= TAKEN)
        if len(left.pairs) == before:
            break
    return [one for one in found if left.is_open(one)]


class _Alone:
    """The tensors that are not paired yet, by their rows' keys, and the pairs so far."""

    def __init__(
        self, a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry], choices: Choices
    ) -> None:
        self.a, self.b = dict(a), dict(b)
        self.pairs: list[Pair] = []
        self._apart = frozenset(choices.rejected)
        self._row_a = {entry.key: key for key, entry in a.items()}
        self._row_b = {entry.key: key for key, entry in b.items()}

    def take(self, found: Iterable[Pair]) -> None:
        """Take the pairs whose tensors are alone still, but for those that a person set apart."""
        taken_a: set[str] = set()
        taken_b: set[str] = set()
        for one in found:
            by_hand = one.by in (PairedBy.HAND, PairedBy.NAME, PairedBy.PREFIX)
            if (one.a.key, one.b.key) in self._apart and not by_hand:
                continue
            if not self.is_open(one):
                continue
            if (not one.view_a and one.a.key in taken_a) or (
                not one.view_b and one.b.key in taken_b
            ):
                continue
            taken_a.add(one.a.key)
            taken_b.add(one.b.key)
            self.pairs.append(one)
        for key in taken_a:
            self.a.pop(self._row_a[key], None)
        for key in taken_b:
            self.b.pop(self._row_b[key], None)

    def is_open(self, one: Pair) -> bool:
        """Whether both are alone, and nobody set them apart."""
        return (
            self._row_a[one.a.key] in self.a
            and self._row_b[one.b.key] in self.b
            and (one.by is not PairedBy.LIKENESS or (one.a.key, one.b.key) not in self._apart)
        )

    def set_ties_aside(self, a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]) -> None:
        """Leave out what shares its storage with a paired tensor: where one file keeps tied weights
        once, the other's second key has no counterpart of its own."""
        for entries, left, rows, paired in (
            (a, self.a, self._row_a, {one.a.key for one in self.pairs}),
            (b, self.b, self._row_b, {one.b.key for one in self.pairs}),
        ):
            for group in ties(entries):
                if any(key in paired for key in group):
                    for key in group:
                        if key not in paired:
                            left.pop(rows[key], None)


def _strips(
    a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry], choices: Choices
) -> tuple[str, str]:
    if choices.strip is not None:
        return choices.strip
    found = prefix_pairing(a, b)
    return (found.strip_a, found.strip_b) if found else ("", "")


def _by_hand(
    a: Mapping[str, TensorEntry],
    b: Mapping[str, TensorEntry],
    short_a: Mapping[str, TensorEntry],
    choices: Choices,
) -> list[Pair]:
    rows = {entry.key: key for key, entry in short_a.items()}
    return [
        Pair(rows[key_a], a[key_a], b[key_b], PairedBy.HAND, 1.0, "you paired them")
        for key_a, key_b in choices.accepted
        if key_a in a and key_b in b
    ]


def _by_name(left: _Alone) -> list[Pair]:
    return [
        Pair(
            key,
            entry,
            left.b[key],
            PairedBy.NAME if entry.key == left.b[key].key else PairedBy.PREFIX,
        )
        for key, entry in left.a.items()
        if key in left.b
    ]
