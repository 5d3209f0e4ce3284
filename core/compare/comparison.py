"""The data of a comparison: pairs, states, evidence, rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from core.checkpoint import TensorEntry


class State(StrEnum):
    """How a tensor of A differs from that of B."""

    SAME = "same"
    RENAMED = "renamed"
    CHANGED = "changed"
    RESHAPED = "reshaped"
    RECAST = "recast"
    ONLY_A = "only in A"
    ONLY_B = "only in B"


class Evidence(StrEnum):
    """What a row's state was decided by."""

    KEY = "key"
    SHAPE = "shape"
    DTYPE = "dtype"
    LAYOUT = "layout"
    RECORD = "same record"
    CHECKSUM = "checksum"
    BYTES = "bytes"
    NO_BYTES = "no bytes"


EVIDENCE: Mapping[Evidence, str] = {
    Evidence.KEY: "Only one of the two files contains the key.",
    Evidence.SHAPE: "The shapes differ, or neither tensor has elements; no byte was read.",
    Evidence.DTYPE: "The dtypes differ; no byte was read.",
    Evidence.LAYOUT: "The two are quantized with different scales, or are sparse or nested in "
    "different ways; no element was read.",
    Evidence.RECORD: "Both point at the same bytes of the same file.",
    Evidence.CHECKSUM: "The CRC-32 checksums in both files were compared; no byte of the tensors "
    "was read. Different checksums are those of different tensors. Equal ones show that equal "
    "tensors were saved: bytes that were overwritten since are not seen, and neither is a tensor "
    "that was made to have the checksum of another.",
    Evidence.BYTES: "The bytes of both were read and compared.",
    Evidence.NO_BYTES: "A tensor on the meta device, which has a shape but no data.",
}
"""What each kind of evidence means, in words."""


class PairedBy(StrEnum):
    """Why two tensors are in one row."""

    NAME = "name"
    PREFIX = "prefix"
    CONTENT = "content"
    LIKENESS = "likeness"
    HAND = "hand"


@dataclass(frozen=True, slots=True)
class Pair:
    """A tensor of A with its counterpart in B.

    `key` is unique among the rows. `a` and `b` are compared element by element. Each may be a view
    of a tensor in its file and keeps that tensor's key; `view_a` or `view_b` then says which view,
    such as `transposed` or `[0:768]`, and `transposed` whether it is, or is cut from, a transpose.
    `confidence` is from 0 to 1, and `why` is the evidence in a
    few words, which a pair by name does not need.
    """

    key: str
    a: TensorEntry
    b: TensorEntry
    by: PairedBy
    confidence: float = 1.0
    why: str = ""
    view_a: str = ""
    view_b: str = ""
    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person decided about the pairing, as pairs (key in A, key in B) of the files.

    `accepted` pairs are in one row in any case; `rejected` pairs are never paired by content or
    likeness. `strip` are the prefixes to remove from the keys of A and of B; None means those that
    pair the most keys.
    """

    accepted: tuple[tuple[str, str], ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()
    strip: tuple[str, str] | None = None


NO_CHOICES = Choices()
"""The choices before a person decides anything."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which tensors are paired: `pairs`, in the order in which they were found.

    `only_a` and `only_b` are the tensors without a counterpart, in the order of their files.
    `proposals` are pairs of these that are likely, but not certain enough to be taken; a tensor may
    be in several. `strip_a` and `strip_b` are the prefixes that were removed from the keys.
    """

    pairs: tuple[Pair, ...]
    proposals: tuple[Pair, ...]
    only_a: tuple[TensorEntry, ...]
    only_b: tuple[TensorEntry, ...]
    strip_a: str = ""
    strip_b: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor of the comparison.

    `key` is the common key, after the prefixes are stripped. `key_a` and `key_b` are the keys in
    the files, and `a` and `b` the tensors; both are None for the side that lacks the tensor. `pair`
    says how the two were paired. `note` adds a few words, such as `equal after a cast to float16`,
    and is mostly empty. `equal_after_cast` says that a recast tensor is A's, rounded to its dtype;
    where torch's cast gives it but not the values, `lost` says what was lost.
    `damaged` are the sides, "A" or "B", whose bytes were read and do not have the checksum that was
    saved; the note says so too.
    """

    key: str
    key_a: str | None
    key_b: str | None
    state: State
    evidence: Evidence
    a: TensorEntry | None
    b: TensorEntry | None
    pair: Pair | None = None
    note: str = ""
    equal_after_cast: bool = False
    lost: str = ""
    damaged: tuple[str, ...] = ()

    @property
    def by_checksum(self) -> bool:
        """Whether the two count as the same because of their checksums alone."""
        return self.evidence is Evidence.CHECKSUM and self.state is not State.CHANGED

    def with_damage(self, sides: tuple[str, ...]) -> Row:
        """The row with these sides damaged, besides those that are known to be."""
        damaged = tuple(side for side in ("A", "B") if side in sides or side in self.damaged)
        if damaged == self.damaged:
            return self
        note = self.note.removesuffix(_damage_note(self.damaged)).removesuffix("; ")
        words = "; ".join(part for part in (note, _damage_note(damaged)) if part)
        return replace(self, damaged=damaged, note=words)


def _damage_note(sides: tuple[str, ...]) -> str:
    return f"damaged in {' and '.join(sides)}: the stored checksum does not hold" if sides else ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows in A's order; a tensor of B alone follows the one that it follows in B.

    `counts` has every state, with 0 for those without rows. `notes` are sentences on what no row
    shows, such as weights that are tied in one file only.
    """

    rows: tuple[Row, ...]
    counts: Mapping[State, int]
    sentence: str
    pairing: Pairing
    notes: tuple[str, ...] = ()


def stripped(state_dict: Mapping[str, TensorEntry], prefix: str) -> dict[str, TensorEntry]:
    """The entries by key without the prefix. A key that lacks it, or would collide, stays as it
    is."""
    if not prefix:
        return dict(state_dict)
    entries: dict[str, TensorEntry] = {}
    for key, entry in state_dict.items():
        short = key.removeprefix(prefix)
        collides = not short or (short != key and short in state_dict)
        entries[key if collides else short] = entry
    return entries
