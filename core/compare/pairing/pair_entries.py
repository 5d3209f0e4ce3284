"""Which tensor of A is paired with which of B: by hand, name, prefix, content or likeness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from core.checkpoint import TensorEntry, ties
from core.compare.comparison import NO_CHOICES, Choices, Pair, PairedBy, Pairing, stripped
from core.compare.pairing.common_prefix import prefix_pairing
from core.compare.pairing.likeness import Samples, likely_pairs
from core.compare.pairing.pair_fused import fused_pairs
from core.compare.pairing.pair_heads import head_pairs
from core.compare.pairing.same_content import content_pairs, permuted_pairs
from core.compare.pairing.transposes import seen_transposed, transposed_pairs
from core.progress import Report, ignore

MIN_CONFIDENCE = 0.8
"""The smallest confidence of a pair by likeness that becomes a row; below, it is a proposal."""

ROUNDS = 3
"""Rounds of pairing by likeness; each uses the pairs of the one before as neighbours."""


def pair(
    a: Mapping[str, TensorEntry],
    b: Mapping[str, TensorEntry],
    choices: Choices = NO_CHOICES,
    *,
    progress: Report = ignore,
) -> Pairing:
    """Pair by hand, by name, by name without a prefix, by content, and by likeness.

    Tensors that changed places are paired by content, although their names are in both files.

    Of tensors that no name pairs, a few elements are read where checksums do not decide. Raises
    SourceError where these bytes are gone, and Cancelled.
    """
    strip_a, strip_b = _strips(a, b, choices)
    short_a, short_b = stripped(a, strip_a), stripped(b, strip_b)
    left = _Unpaired(short_a, short_b, choices)
    left.add(_by_hand(a, b, short_a, choices))
    named = _by_name(left)
    permuted = permuted_pairs(named, choices.rejected)
    elsewhere = {moved.key for moved in permuted}
    left.add(candidate for candidate in named if candidate.key not in elsewhere)
    left.add(permuted)
    left.pairs = seen_transposed(left.pairs)
    left.set_ties_aside(a, b)
    if left.a and left.b:
        left.add(content_pairs(left.a, left.b, progress))
    if left.a and left.b:
        left.add(transposed_pairs(left.a, left.b))
    if left.a and left.b:
        left.add(fused_pairs(left.a, left.b))
    proposals = _by_likeness(left, (list(a), list(b)), progress)
    proposals += [candidate for candidate in head_pairs(left.a, left.b) if left.is_open(candidate)]
    paired_a = {candidate.a.key for candidate in left.pairs}
    paired_b = {candidate.b.key for candidate in left.pairs}
    return Pairing(
        tuple(left.pairs),
        tuple(proposals),
        tuple(entry for entry in a.values() if entry.key not in paired_a),
        tuple(entry for entry in b.values() if entry.key not in paired_b),
        strip_a,
        strip_b,
    )


def _by_likeness(
    left: _Unpaired, order: tuple[list[str], list[str]], progress: Report
) -> list[Pair]:
    """Add the pairs that are likely enough, up to ROUNDS times, since each makes its neighbours
    more likely; returns the proposals that are left."""
    samples = Samples()
    candidates: list[Pair] = []
    for _ in range(ROUNDS):
        if not (left.a and left.b):
            return []
        anchors = [
            (candidate.a.key, candidate.b.key)
            for candidate in left.pairs
            if candidate.view_a == candidate.view_b == ""
        ]
        candidates = likely_pairs(left.a, left.b, anchors, order, samples, progress)
        before = len(left.pairs)
        left.add(candidate for candidate in candidates if candidate.confidence >= MIN_CONFIDENCE)
        if len(left.pairs) == before:
            break
    return [candidate for candidate in candidates if left.is_open(candidate)]


class _Unpaired:
    """The tensors that are not paired yet, by row key, and the pairs so far."""

    def __init__(
        self, a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry], choices: Choices
    ) -> None:
        self.a, self.b = dict(a), dict(b)
        self.pairs: list[Pair] = []
        self._apart = frozenset(choices.rejected)
        self._row_a = {entry.key: key for key, entry in a.items()}
        self._row_b = {entry.key: key for key, entry in b.items()}

    def add(self, candidates: Iterable[Pair]) -> None:
        """Add the pairs whose tensors are both unpaired and not separated by a person.

        A tensor may be in several new pairs through different views, such as the parts of a fused
        one.
        """
        paired_a: set[str] = set()
        paired_b: set[str] = set()
        for candidate in candidates:
            by_hand = candidate.by in (PairedBy.HAND, PairedBy.NAME, PairedBy.PREFIX)
            if (candidate.a.key, candidate.b.key) in self._apart and not by_hand:
                continue
            if not self.is_open(candidate):
                continue
            if (not candidate.view_a and candidate.a.key in paired_a) or (
                not candidate.view_b and candidate.b.key in paired_b
            ):
                continue
            paired_a.add(candidate.a.key)
            paired_b.add(candidate.b.key)
            self.pairs.append(candidate)
        for key in paired_a:
            self.a.pop(self._row_a[key], None)
        for key in paired_b:
            self.b.pop(self._row_b[key], None)

    def is_open(self, candidate: Pair) -> bool:
        """Whether both tensors are unpaired, and a pair by likeness was not rejected by a
        person."""
        return (
            self._row_a[candidate.a.key] in self.a
            and self._row_b[candidate.b.key] in self.b
            and (
                candidate.by is not PairedBy.LIKENESS
                or (candidate.a.key, candidate.b.key) not in self._apart
            )
        )

    def set_ties_aside(self, a: Mapping[str, TensorEntry], b: Mapping[str, TensorEntry]) -> None:
        """Drop the tensors that share their storage with a paired one.

        Where one file stores tied weights under one key only, the other file's second key has no
        counterpart, and must not be paired with anything else.
        """
        for entries, left, rows, paired in (
            (a, self.a, self._row_a, {pair.a.key for pair in self.pairs}),
            (b, self.b, self._row_b, {pair.b.key for pair in self.pairs}),
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
    prefixes = prefix_pairing(a, b)
    return (prefixes.strip_a, prefixes.strip_b) if prefixes else ("", "")


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


def _by_name(left: _Unpaired) -> list[Pair]:
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
