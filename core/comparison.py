"""The words of a comparison: states, evidence, rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from core.checkpoint.entries import TensorEntry


class State(StrEnum):
    """What became of a tensor from A to B."""

    SAME = "same"
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


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor of the comparison.

    `key` is what the two have in common, after the prefixes are stripped; `key_a` and `key_b` are
    the keys in the files, None where the tensor is in the other only, as are `a` and `b`.
    """

    key: str
    key_a: str | None
    key_b: str | None
    state: State
    evidence: Evidence
    a: TensorEntry | None
    b: TensorEntry | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows, in A's order with B's own tensors where B has them.

    `counts` has every state, also those that are not there.
    """

    rows: tuple[Row, ...]
    counts: Mapping[State, int]
    sentence: str


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
