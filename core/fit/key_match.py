"""Which keys of a state_dict go into an architecture, and keys told in few lines."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from core.architectures import Signature, TensorSpec
from core.checkpoint import Nested, Quantized, Sparse, StateDict, TensorEntry
from core.keys import BATCH_COUNTER, COMPUTED


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A key of both sides that cannot be loaded: of two shapes, or for the `reason` given."""

    key: str
    found: tuple[int, ...]
    wanted: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """The keys of a state_dict and of a signature, each in exactly one of the five tuples.

    `missing_keys` and `unexpected_keys` are torch's words; `benign` are batch counters, and buffers
    that the model computes by itself, which the file lacks in layers whose other tensors it has.
    The coverages are the shares, 0 to 1, of the signature's keys and of its parameters' elements
    that match.
    """

    matched: tuple[str, ...]
    missing_keys: tuple[str, ...]
    unexpected_keys: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    benign: tuple[str, ...]
    coverage_keys: float
    coverage_parameters: float

    @property
    def total(self) -> int:
        """The keys that are wanted, benign ones apart."""
        return len(self.matched) + len(self.missing_keys) + len(self.mismatched)

    @property
    def computed(self) -> tuple[str, ...]:
        """Of the benign keys, those of buffers that the model computes by itself."""
        return tuple(key for key in self.benign if key.rpartition(".")[2] in COMPUTED)

    @property
    def fits(self) -> bool:
        """Nothing is missing, unexpected or mismatched; benign keys may be absent."""
        return not (self.missing_keys or self.unexpected_keys or self.mismatched)


def match(state_dict: StateDict, signature: Signature) -> Match:
    """Compare keys and shapes; a floating dtype never stands in the way, since loading converts.

    What is quantized, sparse or nested does not go into a dense tensor of floats (FIELD 29).
    """
    matched: list[str] = []
    missing: list[str] = []
    benign: list[str] = []
    mismatched: list[Mismatch] = []
    ordered = sorted(state_dict)
    for key, spec in signature.items():
        entry = state_dict.get(key)
        if entry is None:
            (benign if _is_benign(key, spec, ordered) else missing).append(key)
        elif (reason := _reason(entry, spec)) or entry.shape != spec.shape:
            mismatched.append(Mismatch(key, entry.shape, spec.shape, reason))
        else:
            matched.append(key)
    parameters = {key: spec.numel for key, spec in signature.items() if spec.kind == "parameter"}
    return Match(
        tuple(matched),
        tuple(missing),
        tuple(key for key in state_dict if key not in signature),
        tuple(mismatched),
        tuple(benign),
        _share(len(matched), len(signature) - len(benign)),
        _share(sum(parameters.get(key, 0) for key in matched), sum(parameters.values())),
    )


def _reason(entry: TensorEntry, spec: TensorSpec) -> str:
    """Why an entry does not go into a tensor of the right shape; empty where it does."""
    match entry.form:
        case Sparse(layout=layout):
            return f"sparse ({layout}), and the model's tensor is dense"
        case Nested():
            return "nested, and the model's tensor is dense"
        case Quantized(scheme) if entry.dtype != spec.dtype:
            return f"quantized ({scheme}), and a float model cannot take its integers"
    if entry.dtype.startswith(("qint", "quint")) and entry.dtype != spec.dtype:
        return "quantized, and a float model cannot take its integers"
    return ""


def _is_benign(key: str, spec: TensorSpec, ordered: Sequence[str]) -> bool:
    """Whether a missing key is a batch counter, or a buffer that the model computes by itself, of a
    layer that the file has; `ordered` are the file's keys."""
    module, dot, name = key.rpartition(".")
    layer = module + dot
    if name == BATCH_COUNTER:
        return _first_from(f"{layer}running_mean", ordered) == f"{layer}running_mean"
    if name not in COMPUTED or spec.kind != "buffer":
        return False
    found = _first_from(layer, ordered)
    return found is not None and found.startswith(layer)


def _first_from(text: str, ordered: Sequence[str]) -> str | None:
    at = bisect_left(ordered, text)
    return ordered[at] if at < len(ordered) else None


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
