"""The words of a comparison: pairs, states, evidence, rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from core.checkpoint import TensorEntry


class State(StrEnum):
    """What became of a tensor from A to B."""

    SAME = "same"
    RENAMED = "renamed"
    CHANGED = "changed"
    RESHAPED = "reshaped"
    RECAST = "recast"
    ONLY_A = "only in A"
    ONLY_B = "only in B"


class Evidence(StrEnum):
    """What a row's state was read from."""

    KEY = "key"
    SHAPE = "shape"
    DTYPE = "dtype"
    LAYOUT = "layout"
    RECORD = "same record"
    CHECKSUM = "checksum"
    BYTES = "bytes"
    NO_BYTES = "no bytes"


EVIDENCE: Mapping[Evidence, str] = {
    Evidence.KEY: "The key is in one of the two only.",
    Evidence.SHAPE: "The shapes differ, or both hold no element; no byte was read.",
    Evidence.DTYPE: "The dtypes differ; no byte was read.",
    Evidence.LAYOUT: "One is quantized with other scales than the other, or is sparse or nested "
    "in another way; no element was read.",
    Evidence.RECORD: "Both point at the same bytes of the same file.",
    Evidence.CHECKSUM: "The CRC-32 checksums that torch.save kept in both files; no byte was "
    "read. Two different tensors have the same checksum once in four billion times.",
    Evidence.BYTES: "The bytes of both were read and compared.",
    Evidence.NO_BYTES: "A tensor on the meta device, which has a shape but no data.",
}
"""What each kind of evidence means, in words."""


class PairedBy(StrEnum):
    """Why two tensors stand in one row."""

    NAME = "name"
    PREFIX = "prefix"
    CONTENT = "content"
    LIKENESS = "likeness"
    HAND = "hand"


@dataclass(frozen=True, slots=True)
class Pair:
    """A tensor of A beside one of B.

    `key` tells the row from all others. `a` and `b` are compared element by element; each may be a
    view of the tensor in its file, whose own key it keeps, and then `view_a` or `view_b` says
    which, such as `transposed` or `[0:768]`. `confidence` goes from 0 to 1, and `why` is the
    evidence in a few words; a pair by name needs none.
    """

    key: str
    a: TensorEntry
    b: TensorEntry
    by: PairedBy
    confidence: float = 1.0
    why: str = ""
    view_a: str = ""
    view_b: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person decided about the pairing, as keys (in A, in B) of the files.

    `accepted` stand in one row whatever else is known, `rejected` never do by content or likeness.
    `strip` are the prefixes to take off the keys of A and of B; None: those that pair the most.
    """

    accepted: tuple[tuple[str, str], ...] = ()
    rejected: tuple[tuple[str, str], ...] = ()
    strip: tuple[str, str] | None = None


NO_CHOICES = Choices()
"""What holds before a person decides anything."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which tensors stand together: A's order in `pairs`.

    `proposals` are pairs of tensors that are alone, likely but not sure enough to be taken; of one
    tensor there may be several. `only_a` and `only_b` are alone, in the order of their files.
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

    `key` is what the two have in common, after the prefixes are stripped; `key_a` and `key_b` are
    the keys in the files, None where the tensor is in the other only, as are `a` and `b`. `pair`
    says how the two came together. `note` is what else is known of it in a few words, such as
    `equal after a cast to float16`; mostly empty.
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


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows, in A's order with B's own tensors where B has them.

    `counts` has every state, also those that are not there. `notes` are sentences on what no row
    tells, such as weights that are tied in one file only.
    """

    rows: tuple[Row, ...]
    counts: Mapping[State, int]
    sentence: str
    pairing: Pairing
    notes: tuple[str, ...] = ()


def stripped(state_dict: Mapping[str, TensorEntry], prefix: str) -> dict[str, TensorEntry]:
    """The entries by key without the prefix; a key that lacks it, or would collide, stays."""
    if not prefix:
        return dict(state_dict)
    entries: dict[str, TensorEntry] = {}
    for key, entry in state_dict.items():
        short = key.removeprefix(prefix)
        taken = not short or (short != key and short in state_dict)
        entries[key if taken else short] = entry
    return entries
