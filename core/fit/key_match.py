"""Which keys of a state_dict match an architecture's signature."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from core.architectures import Signature, TensorSpec
from core.checkpoint import Nested, Quantized, Sparse, StateDict, TensorEntry
from core.keys import BATCH_COUNTER, COMPUTED
from core.wording import shape as shape_words


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A key of both sides that cannot be loaded.

    If the shapes are not the obstacle, `reason` says what is.
    """

    key: str
    file_shape: tuple[int, ...]
    model_shape: tuple[int, ...]
    reason: str = ""

    @property
    def words(self) -> str:
        """What differs: `10 × 512 in the file, 1000 × 512 in the model`, or the reason."""
        file_shape, model_shape = shape_words(self.file_shape), shape_words(self.model_shape)
        return self.reason or f"{file_shape} in the file, {model_shape} in the model"


@dataclass(frozen=True, slots=True)
class Match:
    """The keys of a state_dict and of a signature, each in exactly one of the five tuples.

    `missing_keys` and `unexpected_keys` mean what they mean in torch's `load_state_dict`. `benign`
    keys are missing too, but harmless: batch counters, and buffers that the model computes itself,
    of layers whose other tensors are in the file. The coverages are shares, 0 to 1: of the
    signature's keys, and of its parameters' elements, that match.
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
        """How many keys the signature has, without the benign ones."""
        return len(self.matched) + len(self.missing_keys) + len(self.mismatched)

    @property
    def computed(self) -> tuple[str, ...]:
        """The benign keys of buffers that the model computes itself."""
        return tuple(key for key in self.benign if key.rpartition(".")[2] in COMPUTED)

    @property
    def fits(self) -> bool:
        """Whether no key is missing, unexpected or mismatched; benign keys may be absent."""
        return not (self.missing_keys or self.unexpected_keys or self.mismatched)


def match(state_dict: StateDict, signature: Signature) -> Match:
    """Compare the keys and shapes of a state_dict with a signature.

    Floating dtypes may differ, since loading converts them. A quantized, sparse or nested tensor
    does not match: `load_state_dict` cannot copy it into a dense tensor of floats.
    """
    matched: list[str] = []
    missing: list[str] = []
    benign: list[str] = []
    mismatched: list[Mismatch] = []
    # Sorted once, so that each missing key finds its layer's other keys by bisection.
    sorted_keys = sorted(state_dict) if signature.keys() - state_dict.keys() else []
    for key, spec in signature.items():
        entry = state_dict.get(key)
        if entry is None:
            (benign if _is_benign(key, spec, sorted_keys) else missing).append(key)
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
    """Why an entry cannot be loaded even if the shapes agree; empty if it can."""
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


def _is_benign(key: str, spec: TensorSpec, sorted_keys: Sequence[str]) -> bool:
    """Whether a missing key is harmless, given the file's keys in sorted order.

    That is a batch counter, or a buffer that the model computes itself, of a layer in the file.
    """
    module, dot, name = key.rpartition(".")
    layer = module + dot
    if name == BATCH_COUNTER:
        return _first_from(f"{layer}running_mean", sorted_keys) == f"{layer}running_mean"
    if name not in COMPUTED or spec.kind != "buffer":
        return False
    sibling = _first_from(layer, sorted_keys)
    return sibling is not None and sibling.startswith(layer)


def _first_from(prefix: str, sorted_keys: Sequence[str]) -> str | None:
    """The first key that begins with the prefix or sorts after it."""
    at = bisect_left(sorted_keys, prefix)
    return sorted_keys[at] if at < len(sorted_keys) else None


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
