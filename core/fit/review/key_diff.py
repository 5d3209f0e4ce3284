"""The keys of a file and of a model side by side, by state and module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.architectures import Signature, TensorSpec
from core.checkpoint import StateDict, TensorEntry
from core.fit.key_match import Match, Mismatch
from core.keys import module_groups
from core.wording import shape

NOT_IN_FILE = "not in the file"
NOT_IN_MODEL = "not in the model"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key of the file or, for one that the file lacks, of the model.

    `state` is `mismatched`, `missing`, `unexpected`, `benign`, `renamed` or `matched`. `in_model`
    is the model's key, or why there is none; `into` is the new name if a repair gave the key one.
    `elements` counts those of the model's tensor, or of the file's where the model has none.
    """

    state: str
    key: str
    in_model: str
    shape: str
    into: str | None = None
    elements: int = 0


@dataclass(frozen=True, slots=True)
class DiffGroup:
    """Rows of one module in one state; `path` is None for rows that no module has in common.

    What matches is in one group, renamed or not: `state` is `matched` then.
    """

    state: str
    path: str | None
    rows: tuple[KeyRow, ...]

    @property
    def elements(self) -> int:
        """The elements of all tensors of the rows."""
        return sum(row.elements for row in self.rows)


def key_diff(match: Match, state_dict: StateDict, signature: Signature) -> tuple[DiffGroup, ...]:
    """Every key of the state_dict and of the signature in one row, what fails first, what is
    harmless last.

    `match` is that of the two.
    """
    mismatches = {each.key: each for each in match.mismatched}
    states: Mapping[str, Sequence[str]] = {
        "mismatched": tuple(mismatches),
        "missing": match.missing_keys,
        "unexpected": match.unexpected_keys,
        "matched": match.matched,
        "benign": match.benign,
    }
    return tuple(
        group
        for state, keys in states.items()
        for group in _groups(state, keys, mismatches, state_dict, signature)
    )


def states_of(groups: Sequence[DiffGroup]) -> Mapping[str, int]:
    """How many keys are in each state, in the order of the groups; what was renamed comes before
    what was not."""
    counts = Counter(row.state for group in groups for row in group.rows)
    order = ("mismatched", "missing", "unexpected", "renamed", "matched", "benign")
    return {state: counts[state] for state in order if counts[state]}


def _groups(
    state: str,
    keys: Sequence[str],
    mismatches: Mapping[str, Mismatch],
    state_dict: StateDict,
    signature: Signature,
) -> Iterator[DiffGroup]:
    for module in module_groups(keys):
        rows = tuple(
            _row(
                state,
                key,
                state_dict.get(key),
                signature.get(key),
                mismatches[key].reason if key in mismatches else "",
            )
            for key in module.keys
        )
        yield DiffGroup(state, module.path, rows)


def _row(
    state: str, key: str, entry: TensorEntry | None, spec: TensorSpec | None, reason: str
) -> KeyRow:
    if entry is None:
        return KeyRow(
            state,
            key,
            NOT_IN_FILE,
            shape(spec.shape) if spec else "",
            elements=spec.numel if spec else 0,
        )
    own = entry.origin or entry.key
    into = key if own != key else None
    if spec is None:
        return KeyRow(state, own, NOT_IN_MODEL, shape(entry.shape), into, entry.numel)
    if state == "matched" and into is not None:
        state = "renamed"
    return KeyRow(state, own, reason or key, _shapes(entry, spec), into, spec.numel)


def _shapes(entry: TensorEntry, spec: TensorSpec) -> str:
    """The shape, or `the file's → the model's` where they differ."""
    return " → ".join(dict.fromkeys((shape(entry.shape), shape(spec.shape))))
